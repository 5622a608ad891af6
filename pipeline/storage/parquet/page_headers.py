"""The headers of Parquet pages, which say what decoding a page takes.

Footers say sizes too, but nothing holds them to the pages, and pyarrow allocates by what the headers say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from vilt.common.counts import counted

DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # types of pages; others are passed over, as pyarrow does
DELTA_BYTE_ARRAY = 7  # values that begin as the one before, which may repeat a long one in few bytes
PAGE_BYTES = 2**26  # that any page may have, unpacked
MOST_RATIO = 100  # of a larger page's bytes, unpacked and stored: images shrink by a few percent, texts to a tenth
MOST_NESTED = 8  # structs within a header; there are two
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12


class PageHeader(NamedTuple):
    """The header of a page.

    Attributes:
        kind: `DATA`, `DICTIONARY`, `DATA_V2` or another.
        size: Bytes of the page, unpacked.
        stored: Its bytes in the file.
        values: How many values it holds; 0 for other pages.
        encoding: How they are stored.
        length: Bytes of the header.
    """

    kind: int
    size: int
    stored: int
    values: int
    encoding: int
    length: int


def read_header(data: memoryview) -> PageHeader:
    """Read the header at the beginning of `data`.

    Raises:
        IndexError: The header goes on beyond the data.
        ValueError: It is no header.
    """
    fields, end = _struct(data, 0, 0)
    kind, size, stored = (_number(fields, number) for number in (1, 2, 3))
    if min(kind, size, stored) < 0:
        raise ValueError("a page without a type and sizes")
    of_kind = fields.get({DATA: 5, DICTIONARY: 7, DATA_V2: 8}.get(kind, -1))
    if not isinstance(of_kind, dict):
        if kind in (DATA, DICTIONARY, DATA_V2):
            raise ValueError("a page that does not say what it holds")
        of_kind = {1: 0}
    values = _number(of_kind, 1)
    if values < 0:
        raise ValueError("a page with less than no value")
    return PageHeader(kind, size, stored, values, _number(of_kind, 4 if kind == DATA_V2 else 2), end)


@dataclass
class ChunkPages:
    """The pages of one column in one row group, as far as their headers were read.

    Attributes:
        column: Its path, for messages.
        fixed: Whether all its values have the same number of bytes.
        size: Bytes of all pages and their headers, unpacked.
        values: Values in the data pages.
        repeated: Bytes of the largest page of which one value may be all, and stand in many rows: a dictionary, or a
            page of values that begin as others.
        per_value: Bytes a value in the page in which it is most.
    """

    column: str
    fixed: bool = False
    size: int = 0
    values: int = 0
    repeated: int = 0
    per_value: float = 0.0

    def add(self, page: PageHeader) -> str | None:
        """Count a page; return why it is not to be decoded, None if it may be."""
        self.size += page.length + page.size
        if page.size > max(PAGE_BYTES, MOST_RATIO * page.stored):
            return f"a page of {page.stored:,} bytes that says it unpacks to {page.size:,}"
        if page.kind == DICTIONARY:
            if page.values > page.size:
                return f"a dictionary of {page.size:,} bytes that says it holds {counted(page.values, 'value')}"
            largest = -(-page.size // max(1, page.values)) if self.fixed else page.size
            self.repeated = max(self.repeated, largest)
        elif page.kind in (DATA, DATA_V2):
            self.values += page.values
            self.per_value = max(self.per_value, page.size / max(1, page.values))
            if page.encoding == DELTA_BYTE_ARRAY:
                self.repeated = max(self.repeated, page.size)
        return None


def _number(fields: dict[int, Any], number: int) -> int:
    """Return a field that is an int32; -1 if there is none."""
    value = fields.get(number)
    return value if isinstance(value, int) else -1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _struct(data: memoryview, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the numbers and structs of a struct in Thrift's compact protocol, by field, and where it ends."""
    if depth > MOST_NESTED:
        raise ValueError("structs within structs")
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            encoded, at = _varint(data, at)
            number = encoded >> 1 ^ -(encoded & 1)
        value, at = _value(data, at, head & 15, depth)
        if value is not None:
            fields[number] = value
    return fields, at + 1


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return an int32 or a struct, None of other types, and where the value ends."""
    if kind in (_TRUE, _FALSE):
        return None, at
    if kind in (_I16, _I32, _I64):
        encoded, at = _varint(data, at)
        return (encoded >> 1 ^ -(encoded & 1)) if kind == _I32 else None, at
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind == _BYTE:
        return None, at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind in (_LIST, _SET):
        head, at = data[at], at + 1
        count = head >> 4
        if count == 15:
            count, at = _varint(data, at)
        for _ in range(count):
            at = _skip_element(data, at, head & 15, depth)
        return None, at
    raise ValueError(f"a value of type {kind}")


def _skip_element(data: memoryview, at: int, kind: int, depth: int) -> int:
    """Return where an element of a list ends: as a field does, but for booleans, which take a byte."""
    at = at + 1 if kind in (_TRUE, _FALSE) else _value(data, at, kind, depth + 1)[1]
    data[at - 1]  # raises IndexError beyond the data
    return at
