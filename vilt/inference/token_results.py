"""Results about single tokens of a text: what fills each [MASK], and the class of each token."""

from __future__ import annotations

from typing import NamedTuple


class Filled(NamedTuple):
    """A text with every [MASK] filled, and what was put there, in the order of the text, with its probability."""

    text: str
    words: list[tuple[str, float]]


class Tag(NamedTuple):
    """A token of a text, the class that is most likely, and its probability."""

    token: str
    label: str
    score: float
