"""Read Parquet files that strangers may have written: results, lists, manifests. Every file is read through here.

Pages are measured before they are decoded, and so many rows are read at a time that they fit into memory, whatever the
file says; see `pipeline.storage.parquet.guarded_file`. Tables are read in the same way by `ParquetReader`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError
from pipeline.storage.parquet.batch_rows import batch_bytes, rows_within, stored_bytes
from pipeline.storage.parquet.guarded_file import GuardedFile, guarded_source, open_guarded

OUT = "OUT"  # what names results in messages
READ_BYTES = 2**28  # of rows that are held at a time
WHOLE_BYTES = 2**28  # of a row group that is fetched at once; of a larger one its columns, as pyarrow reads them
STREAM_BYTES = 2**23  # of each column of a larger row group, fetched at a time
READ_ROWS = 2**20
MOST_UNFOLDED = 256  # times its bytes that a file may take in memory when it is read whole, and at least so much:
UNFOLDED_BYTES = 2**30


def guarded_batches(
    path: str,
    filesystem: pa.fs.FileSystem,
    columns: Sequence[str] | None = None,
    most_rows: int = READ_ROWS,
    key: str = OUT,
    lenient: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file.

    Args:
        path: The file.
        filesystem: Where it is.
        columns: The columns, in the order in which they are returned; None: all.
        most_rows: Most rows at a time; fewer if they are large.
        key: What names the file, for messages.
        lenient: Leave out columns that the file lacks.

    Raises:
        ConfigError: A page is not to be decoded.
        pa.ArrowInvalid: The file is no Parquet, or lacks a column.
    """
    with open_guarded(path, filesystem, key, buffer_size=STREAM_BYTES) as (opened, guard):
        if lenient and columns is not None:
            columns = [name for name in columns if name in opened.schema_arrow.names]
        schema = _schema(opened, columns)
        for number in range(opened.num_row_groups):
            yield from _group(opened, guard, number, schema, most_rows)


def guarded_table(
    path: str,
    filesystem: pa.fs.FileSystem,
    columns: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
    key: str = OUT,
) -> pa.Table:
    """Return the rows of a file, with the keys and values of its footer.

    Args:
        path: The file.
        filesystem: Where it is.
        columns: The columns, in the order in which they are returned; None: all.
        groups: The row groups; None: all.
        key: What names the file, for messages.

    Raises:
        ConfigError: A page is not to be decoded, or the rows unfold to far more bytes than the file has.
        pa.ArrowInvalid: The file is no Parquet, or lacks a column.
    """
    with open_guarded(path, filesystem, key, buffer_size=STREAM_BYTES) as (opened, guard):
        return _table(opened, guard, _schema(opened, columns), groups)


def guarded_table_of(data: bytes, path: str, key: str = OUT) -> pa.Table:
    """Return the rows of a file of which all bytes are at hand; see `guarded_table`."""
    with guarded_source(pa.BufferReader(data), path, key) as (opened, guard):
        return _table(opened, guard, opened.schema_arrow, None)


def check_pages(path: str, filesystem: pa.fs.FileSystem, key: str, columns: Sequence[str] | None = None) -> None:
    """Check the pages of a file that another library will decode.

    Args:
        path: The file.
        filesystem: Where it is.
        key: What names the file, for messages.
        columns: The columns that will be decoded; None: all.

    Raises:
        ConfigError: A page is not to be decoded.
    """
    with open_guarded(path, filesystem, key) as (opened, guard):
        for number in range(opened.num_row_groups):
            guard.watch(opened.metadata, number, set(columns or opened.schema_arrow.names), whole=True)


def _schema(opened: pq.ParquetFile, columns: Sequence[str] | None) -> pa.Schema:
    found: pa.Schema = opened.schema_arrow
    if columns is None:
        return found
    if missing := [name for name in columns if found.names.count(name) != 1]:
        raise pa.ArrowInvalid(f"no column {missing[0]!r}, or several; there are {', '.join(islice(found.names, 30))}")
    return pa.schema([found.field(name) for name in columns], found.metadata)


def _table(opened: pq.ParquetFile, guard: GuardedFile, schema: pa.Schema, groups: Sequence[int] | None) -> pa.Table:
    most, batches, size = max(UNFOLDED_BYTES, MOST_UNFOLDED * guard.size()), list[pa.RecordBatch](), 0
    for number in range(opened.num_row_groups) if groups is None else groups:
        for batch in _group(opened, guard, number, schema, READ_ROWS):
            batches.append(batch)
            size += batch_bytes(batch)
            if size > most:
                raise ConfigError(
                    f"{guard.key}: {guard.path!r} unfolds to more than {most:,} bytes in memory: it is not read"
                )
    return pa.Table.from_batches(batches, schema)


def _group(
    opened: pq.ParquetFile, guard: GuardedFile, number: int, schema: pa.Schema, most_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield a row group in parts."""
    group, names = opened.metadata.row_group(number), set(schema.names)
    pages = guard.watch(opened.metadata, number, names, whole=stored_bytes(group, names) <= WHOLE_BYTES)
    rows = guard.rows = rows_within(group, names, pages, READ_BYTES, most_rows)
    for batch in opened.iter_batches(rows, [number], schema.names):
        yield batch.select(schema.names)
