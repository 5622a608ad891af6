"""Copy the kept rows of a table, file by file and as they are, and write the list of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.row_ranges import row_key
from pipeline.config.filter import DROPPED, KEPT
from pipeline.filtering.group_writer import GroupWriter
from pipeline.filtering.selection import Selection
from pipeline.results.copied_files import copy_file
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.format import StoredRows
from pipeline.tables.table import TableFiles

Ranges = Iterable[tuple[int, int, Callable[[], Iterable[pa.Table]]]]  # see `StoredRows`
WINDOW_ROWS = 2**20  # of a file whose rows are copied as they are read


class CopiedFile(NamedTuple):
    """The files that one file was copied to, by their names below the folder, and the rows that their footers count."""

    kept_name: str
    dropped_name: str
    kept: int
    dropped: int


@dataclass(frozen=True)
class Copied:
    """All files of a filter, by their names below the folder, and the rows of each."""

    kept: dict[str, int]
    dropped: dict[str, int]

    @classmethod
    def of(cls, files: Sequence[CopiedFile]) -> Copied:
        """Return the files that were written one for each of the table."""
        return cls({file.kept_name: file.kept for file in files}, {file.dropped_name: file.dropped for file in files})


def copy_dropped(
    table: TableFiles, numbers: Sequence[int], selection: Selection, filesystem: AbstractFileSystem, folder: str
) -> tuple[str, int]:
    """Write the list of the dropped rows of some files; return its name and its rows."""
    file = table.files[numbers[0]].file
    name = f"{DROPPED}/{table.format.copy_name(file).removesuffix('.parquet')}.parquet"
    make_folder(filesystem, f"{folder}/{name}".rpartition("/")[0])
    rows = 0
    with GroupWriter(arrow_filesystem(filesystem), f"{folder}/{name}", selection.dropped_schema) as writer:
        for number in numbers:
            for first in range(0, table.files[number].rows, WINDOW_ROWS):
                last = min(first + WINDOW_ROWS, table.files[number].rows)
                dropped = selection.verdicts(row_key(number, first), row_key(number, last)).dropped
                writer.write(dropped)
                rows += dropped.num_rows
    return name, rows


def copy_files(
    table: TableFiles,
    numbers: Sequence[int],
    selection: Selection,
    filesystem: AbstractFileSystem,
    folder: str,
    with_scores: bool = False,
) -> CopiedFile:
    """Write the kept rows of some files to one file, in their order, and the list of their dropped rows.

    With `with_scores` the kept rows get the columns row_id and score. A Parquet file keeps its schema, metadata and
    compression, and a tar the bytes of its members, which can have no scores; other formats become Parquet.

    Raises:
        ConfigError: The file holds values that cannot be copied as they are.
    """
    file = table.files[numbers[0]].file
    name = table.format.copy_name(file)
    kept_name, dropped_name = f"{KEPT}/{name}", f"{DROPPED}/{name.removesuffix('.parquet')}.parquet"
    arrow = arrow_filesystem(filesystem)
    for path in (kept_name, dropped_name):
        make_folder(filesystem, f"{folder}/{path}".rpartition("/")[0])
    with GroupWriter(arrow, f"{folder}/{dropped_name}", selection.dropped_schema) as dropped:
        if table.format.copies_files:
            kept = _copy_file(table, numbers[0], selection, filesystem, f"{folder}/{kept_name}", dropped)
        else:
            added = selection.score_schema if with_scores else pa.schema([])
            _copy_to_parquet(table, numbers, selection, arrow, f"{folder}/{kept_name}", dropped, added)
            kept = pq.read_metadata(f"{folder}/{kept_name}", filesystem=arrow).num_rows
    dropped_rows = pq.read_metadata(f"{folder}/{dropped_name}", filesystem=arrow).num_rows
    return CopiedFile(kept_name, dropped_name, kept, dropped_rows)


def _copy_file(
    table: TableFiles,
    number: int,
    selection: Selection,
    filesystem: AbstractFileSystem,
    path: str,
    dropped: GroupWriter,
) -> int:
    """Copy a file of a format that copies its own; return how many rows were kept."""
    opened = table.files[number]
    keep = np.zeros(opened.rows, bool)
    for first in range(0, opened.rows, WINDOW_ROWS):
        begin, end = row_key(number, first), row_key(number, min(first + WINDOW_ROWS, opened.rows))
        verdicts = selection.verdicts(begin, end)
        keep[verdicts.keys - row_key(number)] = True
        dropped.write(verdicts.dropped)
    copy_file(table, number, lambda row: row < len(keep) and keep[row], filesystem, path)
    return int(keep.sum())


def _copy_to_parquet(
    table: TableFiles,
    numbers: Sequence[int],
    selection: Selection,
    arrow: pyarrow.fs.FileSystem,
    path: str,
    dropped: GroupWriter,
    added: pa.Schema,
) -> None:
    """Copy the rows of some files to one Parquet file, with those columns of their scores that are in `added`."""
    file = table.files[numbers[0]].file
    with ExitStack() as stack:
        stored = table.format.stored_rows(file, table.filesystem) if len(numbers) == 1 else None
        rows = stack.enter_context(stored) if stored else StoredRows(table.schema, "zstd", [])
        schema = pa.schema([*rows.schema, *(f for f in added if f.name not in rows.schema.names)], rows.schema.metadata)
        with GroupWriter(arrow, path, schema, rows.compression, rows.int96) as kept:
            for number in numbers:
                ranges = rows.ranges if stored else _windows(table, number)
                _copy_rows(ranges, row_key(number), selection, kept, dropped, added)


def _copy_rows(
    ranges: Ranges,
    file_begin: int,
    selection: Selection,
    kept: GroupWriter,
    dropped: GroupWriter,
    added: pa.Schema,
) -> None:
    """Write the kept rows and the list of the others; of ranges without a kept row nothing is read."""
    for first, count, read in ranges:
        begin = file_begin + first
        keys, scores, others = selection.verdicts(begin, begin + count)
        dropped.write(others)
        if len(keys):
            keep = np.zeros(count, bool)
            keep[keys - begin] = True
            for part in read():
                rows = part.filter(pa.array(keep[: part.num_rows]))
                keep = keep[part.num_rows :]
                if len(added):
                    rows, scores = _with_columns(rows, scores), scores.slice(rows.num_rows)
                kept.write(rows)


def _with_columns(rows: pa.Table, scores: pa.Table) -> pa.Table:
    """Return rows with those columns of their scores that they have not yet."""
    for name in scores.column_names:
        if name not in rows.column_names:
            rows = rows.append_column(scores.schema.field(name), scores[name].slice(0, rows.num_rows))
    return rows


def _windows(table: TableFiles, number: int) -> Ranges:
    """Yield a range for each window of a file whose rows are copied as they are read."""
    opened = table.files[number]
    for split in opened.splits:
        first = split.first_row
        for window in table.reader.read(opened.file, split, table.schema, WINDOW_ROWS):
            yield first, window.num_rows, partial(list, [window.select(table.schema.names)])
            first += window.num_rows
