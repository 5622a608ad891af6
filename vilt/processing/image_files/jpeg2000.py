"""JPEG 2000 files: their boxes, and the marker segments of their codestream.

OpenJPEG decodes what there is of a codestream and says nothing of what is missing; here its end is looked for. Pillow
rounds samples of more than 8 bits up past white, which comes out black; such pictures are refused.
"""

from __future__ import annotations

import struct

from vilt.processing.errors import EndsEarlyError, ImageError, too_slow

BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
PARTS = 100_000  # most boxes, and most marker segments and parts of tiles; the format allows 65,535 tiles
SOT, SOD, EOC = 0xFF90, 0xFF93, 0xFFD9


def check(data: bytes) -> None:
    """Check what Pillow and OpenJPEG pass over.

    Raises:
        EndsEarlyError: The data end before the codestream does.
        ImageError: With image_unsupported for samples that are not decoded right, with image_slow for more parts than
            any program writes.
    """
    begin, end = codestream(data)
    if end - begin < 4:
        raise EndsEarlyError
    if data[begin : begin + 4] != CODESTREAM:
        raise ImageError("image_corrupt", "a JPEG 2000 file whose codestream does not begin with its size")
    _check_samples(data, begin, end)
    _walk(data, begin, end)


def codestream(data: bytes) -> tuple[int, int]:
    """Return where the codestream begins and ends, in a file of boxes or bare.

    Raises:
        EndsEarlyError: The data end before it, or within a box.
        ImageError: With image_slow.
    """
    if data.startswith(CODESTREAM):
        return 0, len(data)
    at = 0
    for _ in range(PARTS):
        if at + 8 > len(data):
            raise EndsEarlyError
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            if at + 16 > len(data):
                raise EndsEarlyError
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        end = len(data) if length == 0 else at + length
        if length and length < head:
            raise ImageError("image_corrupt", f"a box of {length} bytes")
        if end > len(data):
            raise EndsEarlyError
        if name == b"jp2c":
            return at + head, end
        at = end
    raise too_slow(PARTS, "boxes")


def _check_samples(data: bytes, begin: int, end: int) -> None:
    """Raise `ImageError` if the samples are none that Pillow turns into the right pixels."""
    if begin + 42 > end:
        raise EndsEarlyError
    (count,) = struct.unpack_from(">H", data, begin + 40)
    sizes = data[begin + 42 : min(begin + 42 + 3 * count, end) : 3]
    if len(sizes) < count:
        raise EndsEarlyError
    bits = {1 + (size & 0x7F) for size in sizes}
    signed = "signed " if any(size & 0x80 for size in sizes) else ""
    readable = bits == {8} or (count == 1 and 8 < max(bits) <= 16)
    if signed or not readable:
        found = f"{count} {signed}components of {', '.join(map(str, sorted(bits)))} bits"
        raise ImageError("image_unsupported", f"JPEG 2000 with {found}; 8 bits, or grey of 8 to 16 bits, are read")


def _walk(data: bytes, begin: int, end: int) -> None:
    """Go from part to part up to the end-of-codestream marker.

    Raises:
        EndsEarlyError: There is none.
        ImageError: With image_slow.
    """
    at = begin + 2
    for _ in range(PARTS):
        if at + 2 > end:
            raise EndsEarlyError
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == EOC:
            return
        if at + 12 > end:
            raise EndsEarlyError
        if marker == SOT:
            (length,) = struct.unpack_from(">I", data, at + 6)
            if length == 0:  # up to the end
                if data.rfind(b"\xff\xd9", at, end) < 0:
                    raise EndsEarlyError
                return
            at += max(length, 12)
        else:
            at += 2 + max(struct.unpack_from(">H", data, at + 2)[0], 2)
    raise too_slow(PARTS, "parts")
