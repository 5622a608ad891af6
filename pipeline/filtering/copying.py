"""Copy the kept rows of a table, file by file and as they are, and write the list of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.row_ranges import place_of
from pipeline.config.filter import DROPPED, KEPT
from pipeline.filtering.parquet_copy import GroupWriter, ParquetSource
from pipeline.filtering.selection import Selection
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.table import TableFiles

READ_BYTES = 2**24  # of the table, held at a time
READ_ROWS = 2**20


class Span(NamedTuple):
    """Some rows of a file.

    Attributes:
        first: The number of the first row in the file.
        rows: How many rows there are.
        read: Reads them; only called if one of them is kept.
    """

    first: int
    rows: int
    read: Callable[[], Iterable[pa.Table]]


class CopiedFile(NamedTuple):
    """What became of a file: the names of what was written, below the folder, and the rows that their footers count."""

    kept_name: str
    dropped_name: str
    kept: int
    dropped: int


def copy_file(
    table: TableFiles, number: int, selection: Selection, filesystem: AbstractFileSystem, folder: str
) -> CopiedFile:
    """Write the kept rows of file `number`, in their order, and the list of its dropped rows.

    A Parquet file keeps its schema, metadata and compression; other formats become Parquet.

    Raises:
        ConfigError: The file holds values that cannot be copied as they are.
    """
    name = table.files[number].found.name
    name = name if name.endswith(".parquet") else f"{name}.parquet"
    names, arrow = (f"{KEPT}/{name}", f"{DROPPED}/{name}"), arrow_filesystem(filesystem)
    for path in names:
        filesystem.makedirs(f"{folder}/{path}".rpartition("/")[0], exist_ok=True)
    with ExitStack() as stack:
        if table.format == "parquet":
            path = table.files[number].found.path
            source = stack.enter_context(ParquetSource(path, arrow_filesystem(table.filesystem)))
            kept = stack.enter_context(GroupWriter.like(source, arrow, f"{folder}/{names[0]}"))
            spans = _row_groups(source)
        else:
            kept = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[0]}", table.schema))
            spans = _windows(table, number)
        dropped = stack.enter_context(GroupWriter(arrow, f"{folder}/{names[1]}", selection.dropped_schema))
        _copy_spans(spans, place_of(number), selection, kept, dropped)
    rows = [pq.read_metadata(f"{folder}/{path}", filesystem=arrow).num_rows for path in names]
    return CopiedFile(*names, *rows)


def _copy_spans(
    spans: Iterable[Span], file_begin: int, selection: Selection, kept: GroupWriter, dropped: GroupWriter
) -> None:
    """Write the kept rows and the list of the others; of spans without a kept row nothing is read."""
    for span in spans:
        begin = file_begin + span.first
        places, others = selection.verdicts(begin, begin + span.rows)
        dropped.write(others)
        if len(places):
            keep = np.zeros(span.rows, bool)
            keep[places - begin] = True
            for part in span.read():
                kept.write(part.filter(pa.array(keep[: part.num_rows])))
                keep = keep[part.num_rows :]


def _row_groups(source: ParquetSource) -> Iterator[Span]:
    """Yield a span for each row group."""
    first = 0
    for number in range(source.metadata.num_row_groups):
        group = source.metadata.row_group(number)
        row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
        rows = min(max(1, READ_BYTES // row_bytes), READ_ROWS)
        yield Span(first, group.num_rows, partial(source.read, number, rows))
        first += group.num_rows


def _windows(table: TableFiles, number: int) -> Iterator[Span]:
    """Yield a span for each window of a file without row groups, which is read in any case."""
    for piece in table.files[number].pieces:
        first = piece.first
        for window in piece.windows(table.schema, READ_ROWS):
            yield Span(first, window.num_rows, partial(list, [window]))
            first += window.num_rows
