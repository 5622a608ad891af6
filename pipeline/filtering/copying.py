"""The kept rows of a table, copied file by file as they are; and the list of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.row_ranges import place_of
from pipeline.config.filter import DROPPED, KEPT
from pipeline.filtering.selection import Cut
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.format import StoredRows
from pipeline.tables.table import TableFiles

GROUP_BYTES = 2**26  # of a row group that is written
GROUP_ROWS = 2**20


class Copied(NamedTuple):
    """Of a file: the names of what was written, below the folder, and the rows that their footers tell."""

    kept_name: str
    dropped_name: str
    kept: int
    dropped: int


def copy_file(table: TableFiles, number: int, cut: Cut, filesystem: AbstractFileSystem, folder: str) -> Copied:
    """Write the kept rows of file `number`, in their order, and the list of its dropped rows.

    If its format can, with the file's own schema, metadata and compression; else as Parquet.
    """
    file = table.files[number].file
    name = file.name if file.name.endswith(".parquet") else f"{file.name}.parquet"
    names, arrow = (f"{KEPT}/{name}", f"{DROPPED}/{name}"), arrow_filesystem(filesystem)
    for path in names:
        make_folder(filesystem, f"{folder}/{path}".rpartition("/")[0])
    with ExitStack() as stack:
        stored = table.format.stored_rows(file, table.filesystem)
        rows = stack.enter_context(stored) if stored else StoredRows(table.schema, "zstd", _windows(table, number))
        kept = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[0]}", rows.schema, rows.compression))
        dropped = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[1]}", cut.dropped_schema, "zstd"))
        for first, count, read in rows.ranges:
            begin = place_of(number, first)
            places, others = cut.verdicts(begin, begin + count)
            dropped.write(others)
            if len(places):
                keep = np.zeros(count, bool)
                keep[places - begin] = True
                for part in read():
                    kept.write(part.filter(pa.array(keep[: part.num_rows])))
                    keep = keep[part.num_rows :]
    counts = [pq.read_metadata(f"{folder}/{path}", filesystem=arrow).num_rows for path in names]
    return Copied(*names, *counts)


def _windows(table: TableFiles, number: int) -> Iterator[tuple[int, int, Callable[[], Iterable[pa.Table]]]]:
    """Yield a range for each window of a file whose rows are copied as they are read."""
    opened = table.files[number]
    for split in opened.splits:
        first = split.first_row
        for window in table.reader.read(opened.file, split, table.schema, GROUP_ROWS):
            yield first, window.num_rows, partial(list, [window])
            first += window.num_rows


class GroupWriter:
    """Writes a Parquet file; what comes in small parts is put together to row groups of a good size."""

    def __init__(
        self, filesystem: pyarrow.fs.FileSystem, path: str, schema: pa.Schema, compression: str | dict[str, str]
    ) -> None:
        self.writer = pq.ParquetWriter(path, schema, filesystem=filesystem, compression=compression)
        self.schema, self.parts = schema, list[pa.Table]()

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self.writer.close()

    def write(self, rows: pa.Table) -> None:
        """Rows of the file's schema."""
        if rows.num_rows:
            self.parts.append(rows)
        if sum(part.nbytes for part in self.parts) > GROUP_BYTES or sum(map(len, self.parts)) > GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self.parts:
            self.writer.write_table(pa.concat_tables(self.parts).cast(self.schema))
        self.parts = []
