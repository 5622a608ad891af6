"""Write Parquet files byte by byte, so that what they say of themselves can be anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BYTE_ARRAY, INT32 = 6, 1
UNCOMPRESSED, SNAPPY, GZIP, BROTLI, ZSTD = 0, 1, 2, 4, 6
PLAIN, RLE, DELTA_BYTE_ARRAY, RLE_DICTIONARY = 0, 3, 7, 8
DATA, DICTIONARY, DATA_V2 = 0, 2, 3


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


class Long(int):
    """A 64-bit number."""


def struct(fields: dict[int, Any]) -> bytes:
    """Encode a struct in Thrift's compact protocol: number -> int, Long, bool, bytes, struct, or a list of these."""
    out, last = b"", 0
    for number, value in sorted(fields.items()):
        kind, data = _value(value)
        out += bytes([(number - last) << 4 | kind]) + data
        last = number
    return out + b"\0"


def _value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return (1 if value else 2), b""
    if isinstance(value, int):
        return (6 if isinstance(value, Long) else 5), varint((value << 1) ^ (value >> 63))
    if isinstance(value, bytes):
        return 8, varint(len(value)) + value
    if isinstance(value, dict):
        return 12, struct(value)
    kinds = [_value(one) for one in value]
    kind, count = kinds[0][0], len(kinds)
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)
    return 9, head + b"".join(data for _, data in kinds)


@dataclass
class Page:
    """A page: its stored bytes, and what its header says."""

    data: bytes
    size: int  # uncompressed, as the header says
    values: int
    kind: int = DATA
    encoding: int = PLAIN
    stored: int | None = None  # bytes, as the header says

    def encode(self) -> bytes:
        of_kind: dict[int, dict[int, Any]] = {
            DATA: {5: {1: self.values, 2: self.encoding, 3: RLE, 4: RLE}},
            DICTIONARY: {7: {1: self.values, 2: PLAIN}},
            DATA_V2: {8: {1: self.values, 2: 0, 3: self.values, 4: self.encoding, 5: 0, 6: 0, 7: True}},
        }
        stored = len(self.data) if self.stored is None else self.stored
        return struct({1: self.kind, 2: self.size, 3: stored, **of_kind[self.kind]}) + self.data


def parquet_file(
    pages: Sequence[Page],
    rows: int,
    codec: int,
    size: int = 100,
    kind: int = BYTE_ARRAY,
    name: bytes = b"caption",
    encodings: Sequence[int] = (PLAIN,),
    stored: int | None = None,
) -> bytes:
    """Return a file of one row group and one required column.

    Args:
        pages: The pages of the column.
        rows: Rows, as the footer says.
        codec: The compression.
        size: Uncompressed bytes of the column, as the footer says.
        kind: The physical type.
        name: The column.
        encodings: As the footer says.
        stored: Bytes of the column in the file, as the footer says.
    """
    encoded = [page.encode() for page in pages]
    data = b"PAR1" + b"".join(encoded)
    first = 4 + (len(encoded[0]) if pages[0].kind == DICTIONARY else 0)
    column: dict[int, Any] = {
        1: kind, 2: list(encodings), 3: [name], 4: codec, 5: Long(rows), 6: Long(size),
        7: Long(len(data) - 4 if stored is None else stored), 9: Long(first),
    }  # fmt: skip
    if pages[0].kind == DICTIONARY:
        column[11] = Long(4)
    group = {1: [{2: Long(4), 3: column}], 2: Long(size), 3: Long(rows)}
    leaf: dict[int, Any] = {1: kind, 3: 0, 4: name}
    if kind == BYTE_ARRAY:
        leaf[6] = 0  # UTF8
    footer = struct({1: 1, 2: [{4: b"schema", 5: 1}, leaf], 3: Long(rows), 4: [group]})
    return data + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def plain(*values: bytes) -> bytes:
    """Return values as PLAIN pages hold them."""
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)
