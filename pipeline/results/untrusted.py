"""Results are data, which a stranger may have written: check what they say before it is used.

What may be opened never comes from them; see `pipeline.reporting.access.Access`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import unquote

from fsspec import AbstractFileSystem
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.common.errors import ConfigError
from pipeline.results.file_footer import ResultFile

MOST_SUMMARY_BYTES = 2**28  # a job of a million files names them in some 50 MB
LATEST = 250_000_000_000  # seconds since 1970: within the year 9999, the last that Python's dates have
Count = Annotated[int, Field(ge=0, lt=2**62)]
Word = Annotated[str, Field(max_length=10_000)]


class _Values(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Scores(_Values):
    rows: Count
    quantiles: list[float] = Field(min_length=9, max_length=9)
    edges: list[float] = Field(min_length=2, max_length=1000)
    kept: list[Count] = Field(max_length=1000)
    dropped: list[Count] = Field(max_length=1000)


class _Example(_Values):
    row_id: Any
    score: float | int
    file: Word | None = None
    row: Count | None = None
    reason: Word | None = None


class _Summary(_Values):
    """The keys of a `_summary.json` that commands read; a filter's has other keys than a job's."""

    tasks: list[Word] = Field(min_length=1, max_length=100)
    rows_in: Count
    seconds: float | int = Field(0.0, ge=0, lt=1e12)
    lineage: dict[Word, Word] = Field(max_length=1000)
    files: list[Word]
    identity: dict[Word, Any] = Field(default_factory=dict)
    input: dict[str, Any] = Field(default_factory=dict)
    command: Word = ""
    config: dict[str, Any] = Field(default_factory=dict)
    finished_at: float | int = Field(0, ge=0, lt=LATEST)
    pairs: Count = 0
    scored: Count | None = None
    pairs_per_second: float | int = Field(0, ge=0, lt=1e12)
    micro_batches: Count = 0
    batch_fill: float | int = Field(0, ge=0, lt=1e12)
    rejected: dict[Word, Count] = Field(default_factory=dict, max_length=1000)
    kept: Count | None = None
    keep: dict[Word, Any] = Field(default_factory=dict, max_length=100)
    dropped: dict[Word, Count] = Field(default_factory=dict, max_length=1000)
    score: Word | None = None
    lowest_kept: float | int | None = None
    scores: _Scores | None = None
    examples: dict[Word, list[_Example]] = Field(default_factory=dict, max_length=100)


class _Filtered(_Summary):
    kept: Count
    keep: dict[Word, Any]
    dropped: dict[Word, Count] = Field(max_length=1000)
    score: Word | None
    lowest_kept: float | int | None
    scores: _Scores | None
    examples: dict[Word, list[_Example]] = Field(max_length=100)


def check_summary(values: Any, what: str) -> dict[str, Any]:
    """Return the summary of a job.

    Args:
        values: A `_summary.json`, or what stands for it.
        what: Its name, for the message.

    Raises:
        ConfigError: It is not one that a job writes.
    """
    kind = _Filtered if isinstance(values, Mapping) and values.get("tasks") == ["filter"] else _Summary
    try:
        kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        key = ascii(".".join(map(str, fault["loc"]))[:200])[1:-1]  # a stranger's: no line ends, no escapes
        raise ConfigError(f"{what} is not what a job writes: {key or 'it'}: {fault['msg'][:200]}") from None
    return dict(values)


def check_written(part: ResultFile) -> None:
    """Check what the footer of a file of results says.

    Raises:
        ValueError: It is nothing that a job writes.
    """
    names = ("rows", "truncated", "micro_batches", "pairs", "tokens", "capacity")
    counts = [*((name, getattr(part, name)) for name in names), *(("steps", rows) for _, rows in part.steps)]
    for name in ("errors", "devices", "grids"):
        counts += [(f"{name}.{str(key)[:80]}", value) for key, value in getattr(part, name).items()]
    times = [("at", part.at), ("model_seconds", part.model_seconds), *(("steps", at) for at, _ in part.steps)]
    for name, count in counts:
        if not isinstance(count, int) or not 0 <= count < 2**62:
            raise ValueError(f"{name} is no number of rows or tokens")
    for name, time in times:
        if not isinstance(time, int | float) or not 0 <= time < LATEST:
            raise ValueError(f"{name} is no time")
    if not all(isinstance(name, str) for name in (*part.errors, *part.devices, *part.grids, part.name)):
        raise ValueError("a name is no text")


def check_paths(paths: Iterable[str], what: str) -> None:
    """Check that the files of a table are named by their paths below its folder.

    Args:
        paths: As the log of a Delta table has them.
        what: The table, for the message.

    Raises:
        ConfigError: One is elsewhere.
    """
    for path in paths:
        for spelling in (path, unquote(path)):
            parts = spelling.replace("\\", "/").split("/")
            if spelling.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "::" in spelling:
                raise ConfigError(f"{what} names the file {path[:300]!r}, which is not below its folder: not read")


def check_links(filesystem: AbstractFileSystem, folder: str, paths: Iterable[str], what: str) -> None:
    """Check that no file of a local folder is a symbolic link to somewhere else.

    Raises:
        ConfigError: One is.
    """
    if "file" not in filesystem.protocol:
        return
    inside = os.path.join(os.path.realpath(folder), "")
    for path in paths:
        if not os.path.realpath(path).startswith(inside):
            name = posixpath.basename(path)[:300]
            raise ConfigError(f"{what}: {name!r} is a symbolic link out of the folder: not read")
