"""What a YAML file may say, checked before anything starts, with the path of the key in every error."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from vilt.decoding import MAX_PIXELS

Task = Literal["score", "answer"]


class ConfigError(ValueError):
    """A config, or what it points to, is wrong: one line that names the key, the value, and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputConfig(_Section):
    """The table to read, and which of its columns are what."""

    path: str = Field(description="Parquet file, folder or glob: a local path or s3://...")
    image: str = Field("image", description="column of encoded bytes, of URIs, or of {bytes, path} structs")
    text: str = Field("text", description="column of texts, or of lists of texts")
    id: str | None = Field(None, description="integer column that becomes row_id; default: a hash of file and place")
    columns: list[str] | None = Field(None, description="columns to carry into the output; default: all")
    allow: list[str] = Field([], description="more URI prefixes that images may be read from")


class OutputConfig(_Section):
    """Where the results go."""

    path: str = Field(description="folder for the Parquet files: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what an earlier run wrote there")
    keep_image: bool = Field(False, description="carry the image column into the output")
    rows_per_file: int = Field(100_000, ge=1, description="write a file once this many rows are ready")


class ActorsConfig(_Section):
    """The pool that hosts the model."""

    count: int | None = Field(None, ge=1, description="actors; default: one a GPU, else one for every 8 cores")
    gpus: float | None = Field(None, ge=0, description="GPUs an actor; default: 1 where Ray has GPUs, else 0")
    cpus: int | None = Field(None, ge=1, description="cores an actor; default: 1 with a GPU, else a share of all")


class LimitsConfig(_Section):
    """What an image may cost. Larger ones are rejected with a reason."""

    image_bytes: int = Field(64 * 2**20, ge=1, description="most bytes of an encoded image")
    image_pixels: int = Field(MAX_PIXELS, ge=1, description="most pixels of a decoded image")


class BatchConfig(_Section):
    """How rows are put together."""

    window_rows: int = Field(512, ge=1, description="rows that are bucketed together")
    tokens: int | None = Field(None, ge=256, description="tokens of a micro-batch; default: 16384, with GPUs 65536")


class RayConfig(_Section):
    """Which Ray to use."""

    address: str | None = Field(None, description="a running cluster; default: RAY_ADDRESS, else a local one")


class JobConfig(_Section):
    """A whole job file. `task` is set by the command that runs it."""

    task: Task
    input: InputConfig
    model: str = Field(description="checkpoint: a folder, s3://..., hf://owner/name or zoo://scenes")
    output: OutputConfig
    top_k: int = Field(5, ge=1, description="answers kept in the column `answers`")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    actors: ActorsConfig = ActorsConfig()
    limits: LimitsConfig = LimitsConfig()
    batch: BatchConfig = BatchConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _output_is_elsewhere(self) -> Self:
        if f"{self.output.path.rstrip('/')}/".startswith(f"{self.input.path.rstrip('/')}/"):
            raise ValueError(
                f"output.path: {self.output.path!r} is in the input's folder {self.input.path!r}, where the next run "
                "would read it: choose another"
            )
        return self

    @property
    def sha256(self) -> str:
        """Hash of every key that can change a result; where it runs and how it is batched cannot."""
        free = {"output", "actors", "batch", "ray"}
        return hashlib.sha256(json.dumps(self.model_dump(exclude=free), sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, task: Task, path: str, overrides: Sequence[str] = ()) -> JobConfig:
        """Read a YAML file and apply `key=value` overrides, as in `input.path=s3://bucket/table`.

        Raises ConfigError for an unreadable file, an unknown key, a missing key or a wrong type.
        """
        try:
            values = yaml.safe_load(Path(path).read_text())
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: holds {type(values).__name__}, not keys and values")
        for override in overrides:
            _apply(values, override)
        return cls.parse(task, values, path)

    @classmethod
    def parse(cls, task: Task, values: Mapping[str, Any], source: str = "config") -> JobConfig:
        """A config from plain values. Raises ConfigError."""
        try:
            return cls.model_validate({**values, "task": task})
        except ValidationError as error:
            raise ConfigError(f"{source}: {_one_line(error)}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one dotted key, in place."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not key=value, as in output.path=scores/")
    *sections, name = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{override!r}: {section} is {inner!r}, it has no key {name!r}")
        values = inner
    try:
        values[name] = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: not YAML: {' '.join(str(error).split())}") from None


def _one_line(error: ValidationError) -> str:
    """The first fault, as "input.imge: unknown key, did you mean 'image'? ..."."""
    fault = error.errors()[0]
    path = ".".join(str(part) for part in fault["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(fault["loc"])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{path}: unknown key; {hint}the keys here are {', '.join(known)}{more}"
    if fault["type"] == "missing":
        return f"{path}: missing; it is the {_description(fault['loc'])}{more}"
    if fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ") + more
    wanted = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{path}: {fault['input']!r} is wrong; {wanted}{more}"


def _section_of(location: Sequence[str | int]) -> type[BaseModel]:
    section: type[BaseModel] = JobConfig
    for part in location[:-1]:
        inner = section.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        section = inner
    return section


def _keys_beside(location: Sequence[str | int]) -> list[str]:
    return [key for key in _section_of(location).model_fields if key != "task"]


def _description(location: Sequence[str | int]) -> str:
    field = _section_of(location).model_fields[str(location[-1])]
    return field.description or f"section {location[-1]!r}"
