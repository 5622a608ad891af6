"""YAML, parsed only if it is neither nested deeper nor, with its aliases unfolded, larger than anybody writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

MAX_LEVELS = 32
MAX_NODES = 100_000  # with those that aliases stand for
MAX_CHARACTERS = 2**20


class RefusedYamlError(yaml.YAMLError):
    """YAML that is not read, though it may be right."""


@dataclass
class _Node:
    """A list or mapping that is being read: its anchor, and what it holds so far."""

    anchor: str | None = None
    nodes: int = 1
    levels: int = 1


def read_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        yaml.YAMLError: It is not YAML, or too deep, or too large; one line.
    """
    if len(text) > MAX_CHARACTERS:
        raise RefusedYamlError(f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    _check(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError):
        raise RefusedYamlError("a date, a number or a tag that cannot be read") from None
    except (RecursionError, MemoryError):
        raise RefusedYamlError("nested too deeply") from None


def _check(text: str) -> None:
    """Raise RefusedYamlError if the text has too many levels or nodes. No list or mapping is made for it."""
    known: dict[str, _Node] = {}
    open_nodes = [_Node()]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_Node(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            _add(known, open_nodes, open_nodes.pop())
        elif isinstance(event, yaml.ScalarEvent):
            _add(known, open_nodes, _Node(event.anchor, levels=0))
        elif isinstance(event, yaml.AliasEvent):
            if any(node.anchor == event.anchor for node in open_nodes):
                raise RefusedYamlError(f"*{event.anchor} stands within what it refers to")
            meant = known.get(event.anchor or "", _Node(levels=0))
            _add(known, open_nodes, _Node(None, meant.nodes, meant.levels))
        if len(open_nodes) - 1 > MAX_LEVELS:
            raise RefusedYamlError(f"nested more than {MAX_LEVELS} levels deep")


def _add(known: dict[str, _Node], open_nodes: list[_Node], node: _Node) -> None:
    """Add a node to the innermost one that is open."""
    above = open_nodes[-1]
    above.nodes, above.levels = above.nodes + node.nodes, max(above.levels, node.levels + 1)
    if len(open_nodes) - 1 + node.levels > MAX_LEVELS:
        raise RefusedYamlError(f"nested more than {MAX_LEVELS} levels deep, aliases unfolded")
    if above.nodes > MAX_NODES:
        raise RefusedYamlError(f"more than {MAX_NODES:,} values, aliases unfolded")
    if node.anchor is not None:
        known[node.anchor] = node
