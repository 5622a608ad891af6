"""Values of Parquet files that do not fit the type in which they would be read: found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError
from pipeline.common.shown_values import python_values
from pipeline.storage.parquet.guarded_file import open_guarded

INT96_ROWS = 2**17  # of times, looked at together
MOST_MICROS = (2**63 - 1) // 1000  # that int64 nanoseconds can count
BORROWED = 2**64 % 1000  # nanoseconds beside whole microseconds where the nanoseconds of a day are below 0


class Int96Times(NamedTuple):
    """The INT96 times of a file.

    Attributes:
        columns: The paths of their columns.
        too_wide: Whether some are out of the range of nanoseconds since 1970.
        too_fine: Whether some are read right as nanoseconds alone: they are finer than microseconds, or pyarrow before
            23 wrote them.
    """

    columns: list[str]
    too_wide: bool = False
    too_fine: bool = False


def int96_times(path: str, filesystem: pa.fs.FileSystem) -> Int96Times:
    """Look at the INT96 times of a file, which count nanoseconds from a day.

    pyarrow reads them as int64 nanoseconds since 1970, which wrap beyond 1677 and 2262 without an error. Before 23 it
    wrote times before 1970 as a day and nanoseconds below 0: read as nanoseconds they wrap again and are right, in any
    other unit they are 584 years late.
    """
    columns = int96_columns(pq.read_metadata(path, filesystem=filesystem))
    if not columns:
        return Int96Times([])
    too_wide = too_fine = False
    with (
        open_guarded(path, filesystem) as (nanos, first),
        open_guarded(path, filesystem, coerce_int96_timestamp_unit="us") as (micros, second),
    ):
        for group in range(nanos.num_row_groups):
            for guard in (first, second):
                guard.watch(nanos.metadata, group, columns, whole=True)
            batches = (file.iter_batches(INT96_ROWS, [group], columns) for file in (nanos, micros))
            for batch, coerced in zip(*batches, strict=True):
                for fine, coarse in zip(*(_times(one.to_struct_array()) for one in (batch, coerced)), strict=True):
                    rest = fine.view(np.uint64) - coarse.view(np.uint64) * np.uint64(1000)  # nanoseconds, 0 to 999
                    wide = np.abs(coarse) > MOST_MICROS
                    below = wide & (rest == BORROWED)
                    too_wide = too_wide or bool((wide & ~below).any())
                    too_fine = too_fine or bool((below | (rest != 0)).any())
    return Int96Times(columns, too_wide, too_fine)


def refuse_unless_one_unit(path: str, times: Int96Times) -> None:
    """Raise ConfigError if no unit holds all INT96 times of a file."""
    if times.too_wide and times.too_fine:
        raise ConfigError(
            f"input.path: {path!r} holds INT96 times in {', '.join(times.columns)} that are read right as nanoseconds "
            "alone, beside times out of the range of nanoseconds; write them as microseconds first"
        )


def int96_columns(metadata: pq.FileMetaData) -> list[str]:
    """Return the paths of the columns that are stored as INT96."""
    columns = map(metadata.schema.column, range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "INT96"]


def _times(array: pa.Array) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the values of each column of times within an array, int64 (n,), nulls left out."""
    kind = array.type
    if pa.types.is_struct(kind):
        for inner in array.flatten():
            yield from _times(inner)
    elif pa.types.is_map(kind):
        yield from _times(array.keys)
        yield from _times(array.items)
    elif pa.types.is_nested(kind):
        yield from _times(array.flatten())
    elif pa.types.is_timestamp(kind):
        yield array.drop_null().cast(pa.int64()).to_numpy()


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
            ends = _ends(found, field.type)
            if ends is None:
                return None
            try:
                ends.cast(target)
            except pa.ArrowInvalid:
                least, most = python_values(ends)
                return f"{least} to {most} in row group {number}"
    return None


def _ends(found: pq.Statistics, kind: pa.DataType) -> pa.Array | None:
    """Return the least and the greatest value of a column; None if Python has no such values."""
    try:
        return pa.array([found.min, found.max], kind)
    except (OverflowError, ValueError):  # times before the year 1 or after 9999
        if pa.types.is_timestamp(kind) and kind.unit in ("ms", "us", "ns") and found.physical_type == "INT64":
            return pa.array([found.min_raw, found.max_raw], pa.int64()).cast(kind)
        return None
    except (pa.ArrowException, TypeError):
        return None


def can_fail(kind: pa.DataType, target: pa.DataType) -> bool:
    """Return whether values of a type may be outside a wider type: large integers, and times of a coarser unit."""
    if pa.types.is_integer(kind):
        return bool(kind.bit_width == 64 and kind != target)
    return bool(pa.types.is_timestamp(kind) and kind != target)
