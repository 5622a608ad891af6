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
from pipeline.tables.table import TableFiles

READ_BYTES = 2**24  # of the table, held at a time
GROUP_BYTES = 2**26  # of a row group that is written
GROUP_ROWS = 2**20


class Span(NamedTuple):
    """Some rows of a file: the number of the first, how many, and what reads them, only called where one is kept."""

    first: int
    rows: int
    read: Callable[[], Iterable[pa.Table]]


class Copied(NamedTuple):
    """Of a file: the names of what was written, below the folder, and the rows that their footers tell."""

    kept_name: str
    dropped_name: str
    kept: int
    dropped: int


def copy_file(table: TableFiles, number: int, cut: Cut, filesystem: AbstractFileSystem, folder: str) -> Copied:
    """Write the kept rows of file `number`, in their order, and the list of its dropped rows.

    Of a Parquet file with its own schema, metadata and compression; other formats become Parquet.
    """
    name = table.files[number].found.name
    name = name if name.endswith(".parquet") else f"{name}.parquet"
    names, arrow = (f"{KEPT}/{name}", f"{DROPPED}/{name}"), arrow_filesystem(filesystem)
    for path in names:
        make_folder(filesystem, f"{folder}/{path}".rpartition("/")[0])
    with ExitStack() as stack:
        if table.format == "parquet":
            source = stack.enter_context(
                pq.ParquetFile(table.files[number].found.path, filesystem=arrow_filesystem(table.filesystem))
            )
            schema, compression, spans = source.schema_arrow, _compression(source.metadata), _groups(source)
        else:
            schema, compression, spans = table.schema, "zstd", _windows(table, number)
        kept = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[0]}", schema, compression))
        dropped = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[1]}", cut.dropped_schema, "zstd"))
        for span in spans:
            begin = place_of(number, span.first)
            places, others = cut.verdicts(begin, begin + span.rows)
            dropped.write(others)
            if len(places):
                keep = np.zeros(span.rows, bool)
                keep[places - begin] = True
                for part in span.read():
                    kept.write(part.filter(pa.array(keep[: part.num_rows])))
                    keep = keep[part.num_rows :]
    rows = [pq.read_metadata(f"{folder}/{path}", filesystem=arrow).num_rows for path in names]
    return Copied(*names, *rows)


def _groups(source: pq.ParquetFile) -> Iterator[Span]:
    """A span for each row group."""
    first = 0
    for number in range(source.num_row_groups):
        group = source.metadata.row_group(number)
        wide = max(1, group.total_byte_size // max(1, group.num_rows))
        rows = min(max(1, READ_BYTES // wide), GROUP_ROWS)
        yield Span(first, group.num_rows, partial(_read_group, source, number, rows))
        first += group.num_rows


def _read_group(source: pq.ParquetFile, number: int, rows: int) -> Iterator[pa.Table]:
    for batch in source.iter_batches(rows, row_groups=[number]):
        yield pa.Table.from_batches([batch])


def _windows(table: TableFiles, number: int) -> Iterator[Span]:
    """A span for each window of a file without row groups, which is read in any case."""
    for piece in table.files[number].pieces:
        first = piece.first
        for window in piece.windows(table.schema, GROUP_ROWS):
            yield Span(first, window.num_rows, partial(list, [window]))
            first += window.num_rows


def _compression(metadata: pq.FileMetaData) -> str | dict[str, str]:
    """The compression of a file's columns: one for all where it is the same."""
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    found = {column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE") for column in columns}
    return next(iter(found.values())) if len(set(found.values())) == 1 else found


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
