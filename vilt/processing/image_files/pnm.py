"""PBM, PGM and PPM files: their header, and pixels of a greatest value that is no whole number of bytes.

Pillow reads the header a byte at a time, and such pixels one by one; here they are read at once, to the same values.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from PIL import Image

from vilt.processing.errors import EndsEarlyError, ImageError, too_slow

HEADER_BYTES = 100_000  # most bytes of a header with its comments
PLAIN_BYTES = 8 * 2**20  # most bytes of a file whose numbers are written as text
PLAIN_COMMENTS = 1000  # most comments in it
TOKEN = re.compile(rb"(?:[ \t\n\x0b\x0c\r]|#[^\r\n]*[\r\n])*([^ \t\n\x0b\x0c\r#]+)")
KINDS = {b"P1": 1, b"P2": 2, b"P3": 2, b"P4": 1, b"P5": 2, b"P6": 2}  # magic -> 1 if there is no greatest value


class Header(NamedTuple):
    """The facts in the header.

    Attributes:
        magic: P1 to P6.
        width, height: In pixels.
        most: The greatest value, which is white; 1 of bitmaps.
        end: Where the pixels begin.
    """

    magic: bytes
    width: int
    height: int
    most: int
    end: int


def is_pnm(data: bytes) -> bool:
    """Return whether the data begin as one of these files does."""
    return data[:2] in KINDS and data[2:3] in (b"", b" ", b"\t", b"\n", b"\x0b", b"\x0c", b"\r", b"#")


def read_header(data: bytes) -> Header | None:
    """Return the header; None if it is none, which Pillow words better.

    Raises:
        EndsEarlyError: The data end within it.
        ImageError: With image_slow, if it is longer than any program writes, or the file has too many numbers as text.
    """
    magic, at, numbers = data[:2], 2, []
    head = data[: HEADER_BYTES + 1]
    for _ in range(2 + (KINDS[magic] > 1)):
        found = TOKEN.match(head, at)
        if found is None or found.end() == len(head):
            if len(data) > HEADER_BYTES:
                raise too_slow(HEADER_BYTES, "bytes of header")
            raise EndsEarlyError
        if not found[1].isdigit() or len(found[1]) > 10:
            return None
        if head[found.end() : found.end() + 1] == b"#":
            raise ImageError("image_unsupported", "PPM with a comment that touches a number")
        numbers.append(int(found[1]))
        at = found.end()
    if magic in (b"P1", b"P2", b"P3"):
        if len(data) > PLAIN_BYTES:
            raise too_slow(PLAIN_BYTES, "bytes of numbers as text")
        if data.count(b"#") > PLAIN_COMMENTS:
            raise too_slow(PLAIN_COMMENTS, "comments")
    return Header(magic, numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1, at + 1)


def decode(data: bytes, header: Header) -> Image.Image | None:
    """Decode binary pixels whose white is not 255 or 65535, as Pillow does.

    Returns:
        A picture of mode L or RGB. None of others, which Pillow reads as fast.

    Raises:
        EndsEarlyError: The data end before the pixels do.
    """
    if header.magic not in (b"P5", b"P6") or header.most in (255, 65535) or not 0 < header.most < 65536:
        return None
    channels = 3 if header.magic == b"P6" else 1
    kind = np.dtype(np.uint8 if header.most < 256 else ">u2")
    count = header.width * header.height * channels
    if header.end + count * kind.itemsize > len(data):
        raise EndsEarlyError
    # Greys of two bytes are scaled to 16 bits, of which the high byte counts; all others to 8 bits.
    white = 65535 if channels == 1 and header.most > 255 else 255
    scaled = np.minimum(np.rint(np.arange(256**kind.itemsize) / header.most * white), white).astype(np.uint32)
    table = (scaled >> 8 if white == 65535 else scaled).astype(np.uint8)
    pixels = table[np.frombuffer(data, kind, count, header.end)]
    return Image.fromarray(pixels.reshape((header.height, header.width, 3)[: 2 + (channels == 3)]))


def ends_early(data: bytes) -> bool:
    """Return whether the data end within the header or, as text, before all numbers are there."""
    try:
        header = read_header(data)
    except EndsEarlyError:
        return True
    if header is None or header.magic not in (b"P1", b"P2", b"P3"):
        return False  # the decoder says so
    text = re.sub(rb"#[^\r\n]*", b"", data[header.end :])
    if header.magic == b"P1":
        return text.count(b"0") + text.count(b"1") < header.width * header.height
    return len(text.split()) < header.width * header.height * (3 if header.magic == b"P3" else 1)
