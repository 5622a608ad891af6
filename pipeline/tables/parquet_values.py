"""Values of Parquet files that do not fit the type in which they would be read: found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

INT96_ROWS = 2**16  # compared at a time


def int96_unit(path: str, filesystem: pa.fs.FileSystem) -> tuple[str, bool]:
    """Return how to read the INT96 times of a file, which hold days and nanoseconds.

    pyarrow reads them as nanoseconds since 1970, in which years beyond 2262 wrap around without a word.

    Returns:
        "us" if a time does not fit nanoseconds, else "ns"; and whether a time is finer than microseconds.
    """
    units = ("ns", "us")
    readers = [pq.ParquetFile(path, filesystem=filesystem, coerce_int96_timestamp_unit=unit) for unit in units]
    try:
        wraps = fine = False
        columns = int96_columns(readers[0].metadata)
        if not columns:
            return "ns", False
        for batches in zip(*(reader.iter_batches(INT96_ROWS, columns=columns) for reader in readers), strict=True):
            for nanoseconds, microseconds in zip(*(_times(batch.columns) for batch in batches), strict=True):
                outside = np.abs(nanoseconds // 1000 - microseconds) > 1
                wraps = wraps or bool(outside.any())
                fine = fine or bool((nanoseconds[~outside] % 1000).any())
    finally:
        for reader in readers:
            reader.close()
    return ("us" if wraps else "ns"), fine


def int96_columns(metadata: pq.FileMetaData) -> list[str]:
    """Return the paths of the columns that are stored as INT96."""
    columns = map(metadata.schema.column, range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "INT96"]


def _times(columns: Sequence[pa.Array]) -> Iterator[np.ndarray]:
    """Yield the times in columns and their fields as int64."""
    for column in columns:
        if pa.types.is_timestamp(column.type):
            yield column.drop_null().cast(pa.int64()).to_numpy()
        elif pa.types.is_map(column.type):
            yield from _times([column.keys, column.items])
        elif pa.types.is_struct(column.type) or pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            yield from _times(column.flatten() if pa.types.is_struct(column.type) else [column.flatten()])


def outside(metadata: pq.FileMetaData, field: pa.Field, target: pa.DataType) -> str | None:
    """Return why a column of a file does not fit the type that it has in the whole table, if its statistics show it.

    Args:
        metadata: The footer of the file.
        field: The column, of the type that it has in this file.
        target: Its type in the whole table.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            found = column.statistics
            if column.path_in_schema != field.name or found is None or not found.has_min_max:
                continue
            try:
                ends = pa.array([found.min, found.max], field.type)
            except (pa.ArrowException, TypeError, OverflowError):  # statistics of a type that Python does not have
                return None
            try:
                ends.cast(target)
            except pa.ArrowInvalid:
                return f"{found.min} to {found.max} in row group {number}"
    return None


def can_fail(kind: pa.DataType, target: pa.DataType) -> bool:
    """Return whether values of a type may be outside a wider type: large integers, and times of a coarser unit."""
    if pa.types.is_integer(kind):
        return bool(kind.bit_width == 64 and kind != target)
    return bool(pa.types.is_timestamp(kind) and kind != target)
