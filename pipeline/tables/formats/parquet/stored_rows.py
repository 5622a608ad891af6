"""Read the rows of a Parquet file as it stores them, for copying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.storage.parquet.batch_rows import rows_within, stored_bytes
from pipeline.storage.parquet.guarded_file import GuardedFile, open_guarded
from pipeline.tables.format import StoredRows
from pipeline.tables.formats.parquet.value_ranges import int96_times, refuse_unless_one_unit
from pipeline.tables.schemas import conform, plain

READ_BYTES = 2**24  # of a row group, held at a time
READ_ROWS = 2**20
WHOLE_BYTES = 2**28  # of a row group that is fetched at once; of a larger one its columns, as pyarrow reads them


@contextmanager
def stored_parquet(path: str, filesystem: pyarrow.fs.FileSystem) -> Iterator[StoredRows]:
    """Open a file to copy its row groups with its own schema, metadata and compression.

    INT96 times, which Spark, Hive and Impala write, count nanoseconds from a day of years -4712 to 1,465,000; pyarrow
    reads them as int64 nanoseconds, which wrap beyond 1677 and 2262 without an error. A file with such times is read in
    microseconds. Its copy has INT96 times too, if all its times are INT96: pyarrow writes all or none so.

    Raises:
        ConfigError: It holds times that pyarrow cannot read in any one unit.
    """
    times = int96_times(path, filesystem)
    refuse_unless_one_unit(path, times)
    unit = "us" if times.too_wide else "ns"
    with open_guarded(path, filesystem, coerce_int96_timestamp_unit=unit) as (opened, guard):
        leaves = [opened.metadata.schema.column(i) for i in range(opened.metadata.num_columns)]
        all_int96 = bool(times.columns) and not any(leaf.logical_type.type == "TIMESTAMP" for leaf in leaves)
        plain_schema = pa.schema([field.with_type(plain(field.type)) for field in opened.schema_arrow])
        schema = plain_schema.with_metadata(opened.schema_arrow.metadata)
        yield StoredRows(schema, _compression(opened.metadata), _ranges(opened, schema, guard), all_int96)


def _ranges(
    opened: pq.ParquetFile, schema: pa.Schema, guard: GuardedFile
) -> Iterator[tuple[int, int, Callable[[], Iterable[pa.Table]]]]:
    """Yield a range for each row group."""
    first = 0
    for number in range(opened.num_row_groups):
        rows = opened.metadata.row_group(number).num_rows
        yield first, rows, partial(_read_group, opened, number, schema, guard)
        first += rows


def _read_group(opened: pq.ParquetFile, number: int, schema: pa.Schema, guard: GuardedFile) -> Iterator[pa.Table]:
    """Yield a row group in parts; views, of which Arrow cannot take some rows, as what a file stores for them."""
    group, names = opened.metadata.row_group(number), set(opened.schema_arrow.names)
    pages = guard.watch(opened.metadata, number, names, whole=stored_bytes(group, names) <= WHOLE_BYTES)
    rows = guard.rows = rows_within(group, names, pages, READ_BYTES, READ_ROWS)
    for batch in opened.iter_batches(rows, row_groups=[number]):
        part = pa.Table.from_batches([batch])
        yield part if part.schema.types == schema.types else conform(part, schema, {}, "a Parquet file")


def _compression(metadata: pq.FileMetaData) -> str | dict[str, str]:
    """Return the compression of a file's columns: one for all if it is the same."""
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    found = {column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE") for column in columns}
    return next(iter(found.values())) if len(set(found.values())) == 1 else found
