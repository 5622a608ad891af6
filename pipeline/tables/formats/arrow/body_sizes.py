"""How many bytes the buffers of Arrow messages unpack to, by their own headers, before pyarrow allocates them.

A message says where each buffer of a batch lies in its body. A compressed one begins with the number of bytes that it
unpacks to: 33 kB may become a gigabyte.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO

MOST_UNPACKED = 2**26  # bytes of a buffer, and more if it has at least a hundredth of them
MOST_RATIO = 100
MOST_METADATA = 2**28  # bytes of the header of a message
_CONTINUES = 0xFFFFFFFF
_TRAILER = 10  # bytes: the length of the index, and a mark
_DICTIONARY, _BATCH = 2, 3  # kinds of messages


def check_bodies(file: IO[bytes], indexed: bool) -> None:
    """Check the buffers of each batch of a file.

    Args:
        file: The file, at its beginning; it may be at another position afterwards.
        indexed: Whether it is a file with an index, not a stream.

    Raises:
        ValueError: A buffer unpacks to far more bytes than it has.
    """
    try:
        for begin in _indexed(file) if indexed else ():
            file.seek(begin)
            _check_message(file)
        while not indexed and _check_message(file):
            pass
    except (struct.error, IndexError, OverflowError):
        return  # damage, which pyarrow names


def _check_message(file: IO[bytes]) -> bool:
    """Check the message that begins where the file is, and move to its end; return whether there was one."""
    size = int.from_bytes(file.read(4), "little")
    if size == _CONTINUES:
        size = int.from_bytes(file.read(4), "little")
    if not 0 < size <= MOST_METADATA:
        return False
    length, buffers = _message(file.read(size))
    begin = file.tell()
    for offset, stored in buffers:
        if stored > 8:
            file.seek(begin + offset)
            (unpacked,) = struct.unpack("<q", file.read(8))
            if unpacked > max(MOST_UNPACKED, MOST_RATIO * stored):
                raise ValueError(f"a buffer of {stored:,} bytes says that it unpacks to {unpacked:,}")
    file.seek(begin + length)
    return length >= 0


def _indexed(file: IO[bytes]) -> Iterator[int]:
    """Yield where the messages begin that the index at the end of a file names."""
    end = file.seek(0, io.SEEK_END) - _TRAILER
    file.seek(max(0, end))
    size = int.from_bytes(file.read(4), "little")
    file.seek(max(0, end - size))
    footer = file.read(size)
    root = _root(footer)
    for field in (2, 3):  # dictionaries, batches
        at = _field(footer, root, field)
        if at is not None:
            vector = at + struct.unpack_from("<I", footer, at)[0]
            for number in range(struct.unpack_from("<I", footer, vector)[0]):
                yield struct.unpack_from("<q", footer, vector + 4 + 24 * number)[0]


def _message(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Return the bytes of a message's body, and where its compressed buffers lie; none if they are not compressed."""
    message = _root(data)
    length = _scalar(data, message, 3, "<q")
    kind, batch = _scalar(data, message, 1, "<B"), _table(data, message, 2)
    if kind == _DICTIONARY and batch is not None:
        batch = _table(data, batch, 1)
    elif kind != _BATCH:
        return length, []
    if batch is None or _table(data, batch, 3) is None:
        return length, []
    return length, list(_buffers(data, batch))


def _buffers(data: bytes, batch: int) -> Iterator[tuple[int, int]]:
    at = _field(data, batch, 2)
    if at is None:
        return
    vector = at + struct.unpack_from("<I", data, at)[0]
    (count,) = struct.unpack_from("<I", data, vector)
    for number in range(count):
        yield struct.unpack_from("<qq", data, vector + 4 + 16 * number)


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table lies; None if it has its default."""
    entries = table - struct.unpack_from("<i", data, table)[0]
    if entries < 0 or 4 + 2 * number >= struct.unpack_from("<H", data, entries)[0]:
        return None
    (offset,) = struct.unpack_from("<H", data, entries + 4 + 2 * number)
    return table + offset if offset else None


def _table(data: bytes, table: int, number: int) -> int | None:
    at = _field(data, table, number)
    return None if at is None else at + int(struct.unpack_from("<I", data, at)[0])


def _scalar(data: bytes, table: int, number: int, kind: str) -> int:
    at = _field(data, table, number)
    return 0 if at is None else int(struct.unpack_from(kind, data, at)[0])
