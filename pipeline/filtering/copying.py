"""Copy the kept rows of a table, file by file and as they are, and write the list of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.row_ranges import row_key
from pipeline.config.filter import DROPPED, KEPT
from pipeline.filtering.group_writer import GroupWriter
from pipeline.filtering.selection import Selection
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.format import StoredRows
from pipeline.tables.table import TableFiles

Ranges = Iterable[tuple[int, int, Callable[[], Iterable[pa.Table]]]]  # see `StoredRows`
WINDOW_ROWS = 2**20  # of a file whose rows are copied as they are read


class CopiedFile(NamedTuple):
    """What became of a file: the names of what was written, below the folder, and the rows that their footers count."""

    kept_name: str
    dropped_name: str
    kept: int
    dropped: int


def copy_files(
    table: TableFiles, numbers: Sequence[int], selection: Selection, filesystem: AbstractFileSystem, folder: str
) -> CopiedFile:
    """Write the kept rows of some files to one file, in their order, and the list of their dropped rows.

    A Parquet file keeps its schema, metadata and compression; other formats become Parquet.

    Raises:
        ConfigError: The file holds values that cannot be copied as they are.
    """
    file = table.files[numbers[0]].file
    name = table.format.copy_name(file)
    names, arrow = (f"{KEPT}/{name}", f"{DROPPED}/{name}"), arrow_filesystem(filesystem)
    for path in names:
        make_folder(filesystem, f"{folder}/{path}".rpartition("/")[0])
    with ExitStack() as stack:
        stored = table.format.stored_rows(file, table.filesystem) if len(numbers) == 1 else None
        rows = stack.enter_context(stored) if stored else StoredRows(table.schema, "zstd", [])
        kept = GroupWriter(arrow, f"{folder}/{names[0]}", rows.schema, rows.compression, rows.int96)
        dropped = GroupWriter(arrow, f"{folder}/{names[1]}", selection.dropped_schema)
        with kept, dropped:
            for number in numbers:
                ranges = rows.ranges if stored else _windows(table, number)
                _copy_rows(ranges, row_key(number), selection, kept, dropped)
    counts = [pq.read_metadata(f"{folder}/{path}", filesystem=arrow).num_rows for path in names]
    return CopiedFile(*names, *counts)


def _copy_rows(ranges: Ranges, file_begin: int, selection: Selection, kept: GroupWriter, dropped: GroupWriter) -> None:
    """Write the kept rows and the list of the others; of ranges without a kept row nothing is read."""
    for first, count, read in ranges:
        begin = file_begin + first
        keys, others = selection.verdicts(begin, begin + count)
        dropped.write(others)
        if len(keys):
            keep = np.zeros(count, bool)
            keep[keys - begin] = True
            for part in read():
                kept.write(part.filter(pa.array(keep[: part.num_rows])))
                keep = keep[part.num_rows :]


def _windows(table: TableFiles, number: int) -> Ranges:
    """Yield a range for each window of a file whose rows are copied as they are read."""
    opened = table.files[number]
    for split in opened.splits:
        first = split.first_row
        for window in table.reader.read(opened.file, split, table.schema, WINDOW_ROWS):
            yield first, window.num_rows, partial(list, [window.select(table.schema.names)])
            first += window.num_rows
