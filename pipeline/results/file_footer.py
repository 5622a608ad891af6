"""The footer of a file of results: which rows of the input the file holds, and counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ERROR, ROW_KEY, ROW_SOURCE, TEXT_TRUNCATED, TEXTS
from pipeline.common.error_codes import TRIED_BY_NEXT_RUN
from pipeline.common.row_ranges import ROW_BITS, RowSet
from pipeline.stages.batch_stats import BatchStats
from vilt.common.json_text import read_json

FOOTER = "vilt.written"
STORED_NAMES = {"complete": "places", "file_versions": "editions"}  # what footers call them


@dataclass(eq=False)
class ResultFile:
    """One file of results, or the counts of several.

    Attributes:
        name: The name of the file.
        complete: The rows of the input whose results are all in the file.
        split: The other rows of the input: row key -> (output rows here, output rows in all); a row whose texts are a
            list has several.
        retryable: The rows of the input whose error may pass.
        rows: Rows of the file.
        errors: Error code -> rows of the file.
        truncated: Rows of the file of whose text the model read the beginning alone.
        micro_batches: Micro-batches with pairs.
        pairs: Pairs that the model read.
        tokens: Tokens that the model read.
        capacity: Tokens that the micro-batches could have held.
        model_seconds: Seconds in the model.
        devices: "bfloat16 on cpu" -> micro-batches.
        grids: "4x6" -> images.
        file_versions: Number of a file in the row keys -> its name and version, if the rows tell.
        at: When it was written, seconds since 1970.
        replaces: The file of an earlier run whose other rows these are.
        steps: Of a file that was joined from several: when each of these was written, and its rows.
    """

    name: str = ""
    complete: RowSet = field(default_factory=RowSet.none)
    split: dict[int, tuple[int, int]] = field(default_factory=dict)
    retryable: RowSet = field(default_factory=RowSet.none)
    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    micro_batches: int = 0
    pairs: int = 0
    tokens: int = 0
    capacity: int = 0
    model_seconds: float = 0.0
    devices: Counter[str] = field(default_factory=Counter)
    grids: Counter[str] = field(default_factory=Counter)
    file_versions: dict[int, tuple[str, str]] = field(default_factory=dict)
    at: float = 0.0
    replaces: str | None = None
    steps: list[tuple[float, int]] = field(default_factory=list)

    @property
    def timeline(self) -> list[tuple[float, int]]:
        """Return when rows were written, seconds since 1970, and how many."""
        return self.steps or [(self.at, self.rows)]

    @classmethod
    def of(cls, name: str, blocks: Sequence[pa.Table], full_batch_tokens: int) -> ResultFile:
        """Return what a file of these blocks holds.

        Args:
            name: The name of the file.
            blocks: Its rows, with their hidden columns.
            full_batch_tokens: Tokens of a full micro-batch.
        """
        table = pa.concat_tables([block.select([ROW_KEY, TEXTS, ERROR]) for block in blocks])
        keys, first, counts = np.unique(table[ROW_KEY].to_numpy(), return_index=True, return_counts=True)
        texts = table[TEXTS].to_numpy()[first]
        whole = counts == texts
        errors = table[ERROR].to_pylist()
        may_pass = np.array([error in TRIED_BY_NEXT_RUN for error in errors], dtype=bool)
        stats = [batch for batch in BatchStats.read(blocks) if batch.pairs]
        return cls(
            name=name,
            complete=RowSet.of(keys[whole]),
            split={
                int(key): (int(here), int(of))
                for key, here, of in zip(keys[~whole], counts[~whole], texts[~whole], strict=True)
            },
            retryable=RowSet.of(table[ROW_KEY].to_numpy()[may_pass]),
            rows=table.num_rows,
            errors=Counter(error for error in errors if error),
            truncated=truncated_in(blocks),
            micro_batches=len(stats),
            pairs=sum(batch.pairs for batch in stats),
            tokens=sum(batch.tokens for batch in stats),
            capacity=len(stats) * full_batch_tokens,
            model_seconds=sum(batch.seconds for batch in stats),
            devices=Counter(f"{batch.precision} on {batch.device}" for batch in stats),
            grids=Counter(grid for batch in stats for grid in batch.grids),
            file_versions=_file_versions(blocks, table[ROW_KEY].to_numpy()),
            at=time.time(),
        )

    @classmethod
    def total(cls, parts: Iterable[ResultFile]) -> ResultFile:
        """Return the sums of several files' counts."""
        parts, out = list(parts), cls()
        for name in ("rows", "truncated", "micro_batches", "pairs", "tokens", "capacity", "model_seconds"):
            setattr(out, name, sum(getattr(part, name) for part in parts))
        for part in parts:
            out.errors.update(part.errors)
            out.devices.update(part.devices)
            out.grids.update(part.grids)
        return out

    @classmethod
    def joined(cls, name: str, parts: Sequence[ResultFile]) -> ResultFile:
        """Return what a file holds that has all rows of several.

        Args:
            name: The name of the file.
            parts: What the others hold.
        """
        out, here, of = cls.total(parts), Counter[int](), dict[int, int]()
        for part in parts:
            here.update({key: count for key, (count, _) in part.split.items()})
            of.update({key: total for key, (_, total) in part.split.items()})
        whole = np.array([key for key in of if here[key] == of[key]], np.int64)
        out.complete = RowSet.union([RowSet.of(whole), *(part.complete for part in parts)])
        out.split = {key: (here[key], of[key]) for key in of if here[key] != of[key]}
        out.retryable = RowSet.union(part.retryable for part in parts)
        out.file_versions = {number: version for part in parts for number, version in part.file_versions.items()}
        out.steps = sorted(step for part in parts for step in part.timeline)
        out.name, out.at = name, max(part.at for part in parts)
        return out

    def to_json(self) -> str:
        """Encode for the footer."""
        values = {STORED_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        if not self.steps:
            del values["steps"]
        return json.dumps({key: v.encode() if isinstance(v, RowSet) else v for key, v in values.items()})

    @classmethod
    def from_json(cls, text: str | bytes) -> ResultFile:
        """Decode what `to_json` wrote."""
        stored: dict[str, Any] = read_json(text)
        values = {f.name: stored[name] for f in fields(cls) if (name := STORED_NAMES.get(f.name, f.name)) in stored}
        for name in ("complete", "retryable"):
            values[name] = RowSet.decode(values[name])
        values["split"] = {int(key): (here, of) for key, (here, of) in values["split"].items()}
        if "file_versions" in values:
            versions = values["file_versions"].items()
            values["file_versions"] = {int(number): tuple(version) for number, version in versions}
        if "steps" in values:
            values["steps"] = [(float(at), int(rows)) for at, rows in values["steps"]]
        for name in {"errors", "devices", "grids"} & values.keys():
            values[name] = Counter(values[name])
        return cls(**values)


def truncated_in(tables: Iterable[pa.Table]) -> int:
    """Return how many rows have a text of which the model read the beginning alone."""
    found = (pc.sum(table[TEXT_TRUNCATED]).as_py() or 0 for table in tables if TEXT_TRUNCATED in table.column_names)
    return sum(found)


def _file_versions(blocks: Sequence[pa.Table], keys: np.ndarray) -> dict[int, tuple[str, str]]:
    """Return the number of each input file in `keys` -> its name and version, if the rows tell."""
    if ROW_SOURCE not in blocks[0].column_names:
        return {}
    sources = pa.concat_arrays([chunk for block in blocks for chunk in block[ROW_SOURCE].chunks])
    files, first = np.unique(keys >> ROW_BITS, return_index=True)
    rows = sources.take(pa.array(first)).to_pylist()
    return {int(file): (row["file"], row["edition"]) for file, row in zip(files, rows, strict=True)}


def settle(parts: Iterable[ResultFile]) -> tuple[list[ResultFile], list[ResultFile]]:
    """Separate files that together hold each of their rows once and whole from those that do not fit in.

    A stop can leave a file with some of a row's texts without the file with the others.

    Returns:
        The files that fit, in order; the others.
    """
    good, bad = list(parts), list[ResultFile]()
    while True:
        here = Counter[int]()
        for part in good:
            here.update({key: count for key, (count, _) in part.split.items()})
        cut = [part for part in good if any(here[key] != of for key, (_, of) in part.split.items())]
        whole = [part for part in good if part not in cut]
        twice = _overlapping(whole)
        bad += cut + twice
        good = [part for part in whole if part not in twice]
        if not cut and not twice:
            return good, bad


def _overlapping(parts: list[ResultFile]) -> list[ResultFile]:
    """Return the files with rows that a file before them holds too."""
    seen = RowSet.union(part.complete for part in parts)
    if len(seen) == sum(len(part.complete) for part in parts):
        return []
    seen, out = RowSet.none(), []
    for part in parts:
        both = RowSet.union((seen, part.complete))
        if len(both) < len(seen) + len(part.complete):
            out.append(part)
        else:
            seen = both
    return out


def done_rows(parts: Iterable[ResultFile]) -> RowSet:
    """Return the rows of the input that these files hold, those split between files included."""
    parts = list(parts)
    split = np.array([key for part in parts for key in part.split], np.int64)
    return RowSet.union([*(part.complete for part in parts), RowSet.of(split)])
