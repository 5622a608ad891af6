"""PNG files: their chunks, and the same file without what no pixel depends on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from vilt.processing.errors import too_slow

START = b"\x89PNG\r\n\x1a\n"
CHUNKS = 50_000  # most chunks; 64 MiB in the usual parts of 8 kB are 8,192
TEXT_BYTES = 2**20  # most bytes of a text that is kept, unpacked: what Pillow unpacks
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # texts that may hold an orientation


class Chunk(NamedTuple):
    """Name, and where the chunk begins and ends, with its length and checksum."""

    name: bytes
    begin: int
    end: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to IEND, or up to the first that the data do not hold whole.

    Raises:
        ImageError: With image_slow, if there are more than any program writes.
    """
    at, count = len(START), 0
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        count += 1
        if count > CHUNKS:
            raise too_slow(CHUNKS, "chunks")
        if end > len(data):
            return
        yield Chunk(name, at, end)
        if name == b"IEND":
            return
        at = end


def without_texts(data: bytes) -> bytes:
    """Return the file without texts and colour profiles, which Pillow unpacks and refuses if they are large.

    A short text that may hold an orientation stays.

    Raises:
        ImageError: As `chunks` does.
    """
    kept, at = [], 0
    for chunk in chunks(data):
        if chunk.name == b"iCCP" or (chunk.name in TEXTS and not _may_orient(data, chunk)):
            kept.append(data[at : chunk.begin])
            at = chunk.end
    return b"".join((*kept, data[at:])) if kept else data


def _may_orient(data: bytes, chunk: Chunk) -> bool:
    """Return whether a text may hold an orientation and is short enough for Pillow."""
    if chunk.end - chunk.begin > TEXT_BYTES or not data.startswith(ORIENTED, chunk.begin + 8):
        return False
    if chunk.name == b"tEXt":
        return True
    packed = data.find(b"\x78", chunk.begin + 8 + len(ORIENTED[0]), chunk.end)  # where a zlib stream begins
    try:
        return packed < 0 or len(zlib.decompressobj().decompress(data[packed : chunk.end], TEXT_BYTES)) < TEXT_BYTES
    except zlib.error:
        return True  # not packed, or damaged, which Pillow passes over


def ends_early(data: bytes) -> bool:
    """Return whether the data end within a chunk, or before any pixels."""
    names, end = set(), len(START)
    for chunk in chunks(data):
        names.add(chunk.name)
        end = chunk.end
    return b"IEND" not in names and (end < len(data) or b"IDAT" not in names)
