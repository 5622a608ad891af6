"""Read YAML into checked sections of a config; every error names the path of its key.

Overrides as `a.b=c` are read here and not by OmegaConf: see the end of docs/architecture.md for what that would change.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import Self

from pipeline.common.errors import ConfigError
from pipeline.common.redaction import has_credentials, redacted, redacted_text
from pipeline.common.suggestions import nearest
from pipeline.config.yaml_text import read_yaml

logger = logging.getLogger(__name__)
_URI = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
SECRETS = ("storage.key", "storage.secret", "storage.token")
_SHORT = reprlib.Repr()  # of a value in a message
_SHORT.maxstring = _SHORT.maxother = 200


class Section(BaseModel):
    """A section of a config file, or the whole of it. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def checked(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """Return a config from plain values.

        Raises:
            ConfigError: A value is wrong; the line begins with `source`.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_one_line(cls, error)}") from None

    def stored(self) -> dict[str, Any]:
        """Return the keys that are set, for summaries and reports: without secrets, and credentials in URIs."""
        values: dict[str, Any] = _without_credentials(self.model_dump(mode="json", exclude_defaults=True))
        return values

    def sha256_without(self, exclude: Mapping[str, Any]) -> str:
        """Return a hash of the values that are set to other than their defaults.

        So a job stays the same one when a release adds a key. A release that changes a default gives other results for
        the same hash, and raises `RESULTS_VERSION` in `pipeline.results.results_version`.

        Args:
            exclude: Keys that do not count, as pydantic's `model_dump` takes them.
        """
        dumped = self.model_dump(exclude=dict(exclude), exclude_defaults=True)
        return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()


def _without_credentials(value: Any) -> Any:
    """Return a value of JSON without credentials: a text that begins as a URI is taken for one as a whole."""
    if isinstance(value, Mapping):
        return {key: _without_credentials(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_credentials(one) for one in value]
    if isinstance(value, str):
        return redacted_text(redacted(value) if _URI.match(value) else value)
    return value


def read_values(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file, and set the keys that `overrides` name, as in `input.path=s3://bucket/table`.

    Raises:
        ConfigError: The file cannot be read, or an override is not `key=value`.
    """
    try:
        values = read_yaml(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}{_table_hint(path)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_yaml_fault(error)}{_table_hint(path)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, not keys and values{_table_hint(path)}")
    set_keys(values, overrides)
    return values


def _table_hint(path: str) -> str:
    """Return what may be meant by a file of a config that is none, as the end of a line; "" for a YAML file."""
    if path.lower().endswith((".yaml", ".yml")):
        return ""
    return f"; name a YAML file with the config; `vilt init score {path}` writes one if this is a table"


def set_keys(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set the keys that `key=value` texts name, in place.

    Raises:
        ConfigError: One of them is not `key=value`.
    """
    for override in overrides:
        _apply(values, override)
        _warn_of_secret(override)


def _warn_of_secret(override: str) -> None:
    """Warn of a secret that stands on the command line."""
    key, _, value = override.partition("=")
    if key in SECRETS and value and not value.lstrip().startswith(("{", "${")):
        logger.warning(
            "%s: given on the command line, which `ps` shows to everybody on this machine; "
            "write '%s={env: NAME}' or '%s={file: PATH}'",
            key,
            key,
            key,
        )
    elif has_credentials(value):
        logger.warning(
            "%s: %s has a password or a token, which `ps` shows to everybody on this machine", key, redacted(value)
        )


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one dotted key, in place. The value is YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not key=value, as in output.path=scores/")
    *sections, name = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {section} is a {type(inner).__name__}, it has no key {name!r}")
        values = inner
    try:
        values[name] = read_yaml(text) if text else None
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}: the value is not YAML: {_yaml_fault(error)}") from None


def _yaml_fault(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, without a copy of the line, which may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem}{f' in line {mark.line + 1}, column {mark.column + 1}' if mark else ''}"


def _one_line(root: type[BaseModel], error: ValidationError) -> str:
    """Return the first fault, as "input.imge: unknown key; did you mean 'image'? ..."."""
    faults = _of_sections(error.errors())
    key = _key(root, faults[0]["loc"])
    same = [fault for fault in faults if _key(root, fault["loc"]) == key]  # one for each type that it may have
    fault = max(same, key=lambda fault: len(fault["loc"]))  # of the type that the value comes closest to
    path = ".".join(key)
    more = f" (and {len(faults) - len(same)} more)" if len(faults) > len(same) else ""
    if fault["type"] == "extra_forbidden":
        known = [name for name in _section_of(root, key).model_fields if name != "tasks"]
        return f"{path}: unknown key; {_meant(root, key, known)}the keys here are {', '.join(known)}{more}"
    if fault["type"] == "missing":
        return f"{path}: missing; it is the {_description(root, key)}{more}"
    if fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ") + more
    wanted = fault["msg"][0].lower() + fault["msg"][1:]
    value = "the value" if path.startswith("storage") else _SHORT.repr(fault["input"])  # a secret, perhaps
    return f"{path}: {value} is wrong; {wanted}{more}"


def _meant(root: type[BaseModel], key: Sequence[str], known: Sequence[str]) -> str:
    """Return what may have been meant by an unknown key: a key of its section, or one of this name in another."""
    also = ["task"] if len(key) == 1 and "tasks" in root.model_fields else []
    if close := nearest(key[-1], [*known, *also]):
        return f"did you mean {close!r}? "
    sections = {name: _sections_in(field.annotation) for name, field in root.model_fields.items()}
    elsewhere = [key[-1]] if key[-1] in sections and key[-1] != "tasks" else []
    elsewhere += [f"{name}.{key[-1]}" for name, inner in sections.items() if inner and key[-1] in inner[0].model_fields]
    return f"did you mean {' or '.join(elsewhere)}? " if elsewhere else ""


def _of_sections(faults: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the faults without those that say that keys and values are no text, if they may be a section as well."""
    texts = [fault for fault in faults if fault["loc"][-1:] == ("str",) and isinstance(fault["input"], Mapping)]
    deeper = {tuple(fault["loc"][:depth]) for fault in faults for depth in range(len(fault["loc"]) - 1)}
    return [fault for fault in faults if fault not in texts or fault["loc"][:-1] not in deeper]


def _key(root: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the config key of a fault's location, without what follows within its value."""
    key, section = [], root
    types: set[str] = set()  # what pydantic calls the types that the value may have
    for part in map(str, location):
        if part in types:
            types = set()
            continue
        key.append(part)
        field = section.model_fields.get(part)
        inner = _sections_in(field.annotation) if field else []
        if field is None or not inner:
            break
        section, types = inner[0], {getattr(kind, "__name__", "") for kind in get_args(field.annotation)}
    return key


def _sections_in(kind: Any) -> list[type[BaseModel]]:
    """Return the section that a key holds, which may be optional; none if it holds a value."""
    return [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]


def _section_of(root: type[BaseModel], key: Sequence[str]) -> type[BaseModel]:
    """Return the section that holds a key."""
    section = root
    for part in key[:-1]:
        (section,) = _sections_in(section.model_fields[part].annotation)
    return section


def _description(root: type[BaseModel], key: Sequence[str]) -> str:
    field = _section_of(root, key).model_fields[key[-1]]
    sections = _sections_in(field.annotation)
    keys = f", with the keys {', '.join(sections[0].model_fields)}" if sections else ""
    return field.description or f"section {key[-1]!r}{keys}"
