"""How many rows of a Parquet file fit into memory, where values may stand in a dictionary once and in many rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

BYTES = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")  # types of values that may be large
DENSE = ("UNCOMPRESSED", "SNAPPY")  # codecs that make no much larger page than the footer says
HEADER_BYTES = 64  # from which a page header's first three numbers are read


def rows_within(
    opened: pq.ParquetFile,
    group: int,
    names: Collection[str],
    most_bytes: int,
    most_rows: int,
    file: pa.NativeFile,
) -> int:
    """Return how many rows of a row group to read at a time, at least one.

    Args:
        opened: The file.
        group: Number of the row group.
        names: The columns to read.
        most_bytes: Most bytes of the rows, as far as the footer and the headers of dictionaries tell.
        most_rows: Most rows.
        file: What `opened` reads: dictionaries are looked at if their values might take too much.
    """
    metadata = opened.metadata.row_group(group)
    columns = list(_columns(metadata, names))
    size = sum(column.total_uncompressed_size for column in columns)
    rows = min(most_rows, most_bytes * metadata.num_rows // max(1, size))
    dictionaries = [c for c in columns if c.physical_type in BYTES and c.has_dictionary_page]
    bound = sum(column.total_uncompressed_size for column in dictionaries)
    if bound * rows > most_bytes or any(column.compression not in DENSE for column in dictionaries):
        bound = sum(_dictionary_bytes(file, column) for column in dictionaries)
    return max(1, min(rows, most_bytes // max(1, bound)))


def _columns(group: pq.RowGroupMetaData, names: Collection[str]) -> Iterator[pq.ColumnChunkMetaData]:
    """Yield what the footer says of some columns of a row group, their fields included."""
    for column in map(group.column, range(group.num_columns)):
        parts = column.path_in_schema.split(".")
        if any(".".join(parts[:i]) in names for i in range(1, len(parts) + 1)):
            yield column


def _dictionary_bytes(file: pa.NativeFile, column: pq.ColumnChunkMetaData) -> int:
    """Return the bytes of a column's dictionary, unpacked, by the header of its page: one value may be all of them."""
    offset = column.dictionary_page_offset
    header = file.read_at(HEADER_BYTES, offset) if offset else b""
    numbers: list[int] = []
    at = 0
    while len(numbers) < 2 and header[at : at + 1] == b"\x15":  # the next field is a 32-bit number, in Thrift's words
        value = shift = 0
        at += 1
        while at < len(header):
            value |= (header[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if header[at - 1] < 0x80:
                break
        numbers.append(value >> 1)  # zigzag, of a number that is not negative
    return numbers[1] if len(numbers) > 1 else int(column.total_uncompressed_size)
