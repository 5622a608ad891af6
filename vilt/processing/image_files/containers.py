"""Checks of a file by its structure alone: its format, whether it ends early, whether it was made to take long.

Pillow says of a file that it cannot open only that it cannot, and walks through headers of any length byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from vilt.processing.errors import EndsEarlyError, ImageError, too_slow
from vilt.processing.image_files import jpeg, jpeg2000, png, pnm, tiff

GIF_BLOCKS = 20_000  # most blocks of extensions before the first picture
RLE_BYTES = 8 * 2**20  # most bytes of a run-length coded BMP, whose runs Pillow reads one by one
MOST_BRANDS = 128  # bytes of the box that names a file's kinds, as far as they are looked at
BOXES = 10_000  # most boxes of an AVIF file that are looked at
RUN_LENGTHS = (1, 2)  # of BMP's compressions
BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # bytes
UNREAD = {  # what else people keep in columns of images
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "ICO",
    b"icns": "ICNS",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"v/1\x01": "OpenEXR",
    b"SIMPLE  =": "FITS",
    b"P7": "PAM",
    b"PF\n": "PFM",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<html": "HTML",
    b"<HTML": "HTML",
    b"<!DOCTYPE": "HTML",
    b"<!doctype": "HTML",
    b"version https://git-lfs": "Git LFS pointer",
    b"/9j/": "JPEG in base64",
    b"iVBORw0KGgo": "PNG in base64",
    b"\x1f\x8b": "gzip",
    b"PK\3\4": "zip",
}
UNREAD_FORMATS = frozenset({"HEIC", *UNREAD.values()})


def kind_of(data: bytes) -> str | None:
    """Return the name of the format that the data begin as, None for one that is not known."""
    if data.startswith(jpeg.START):
        return "JPEG"
    if data.startswith(png.START):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if tiff.is_tiff(data):
        return "TIFF"
    if data.startswith((jpeg2000.BOXES, jpeg2000.CODESTREAM)):
        return "JPEG 2000"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(8 + MOST_BRANDS, int.from_bytes(data[:4], "big"))]
        if data[8:10] == b"he" or (data[8:12] in (b"mif1", b"msf1") and b"hei" in brands and b"avi" not in brands):
            return "HEIC"
        return "AVIF" if data[8:12] in (b"avif", b"avis", b"mif1", b"msf1") else None
    if pnm.is_pnm(data):
        return "PPM"
    if _bmp_header(data) is not None:
        return "BMP"
    return next((name for start, name in UNREAD.items() if data.startswith(start)), None)


def check(data: bytes) -> None:
    """Raise `ImageError` with image_slow if decoding would take long for what the file holds.

    Chunks of PNG and segments of JPEG are counted where they are read, in `vilt.processing.image_files.decoding`.
    """
    kind = kind_of(data)
    try:
        if kind == "GIF":
            _first_gif_picture(data)
        elif kind == "BMP":
            _check_runs(data)
        elif kind == "PPM":
            pnm.read_header(data)
        elif kind == "TIFF":
            tiff.read_tags(data)
        elif kind == "JPEG 2000":
            jpeg2000.codestream(data)
    except EndsEarlyError:
        return  # Pillow says so, too


def ends_early(data: bytes) -> bool:
    """Return whether a file that cannot be read is the beginning of one that could be."""
    kind = kind_of(data)
    try:
        return ENDS_EARLY[kind](data) if kind in ENDS_EARLY else False
    except ImageError:
        return False


def _gif_ends_early(data: bytes) -> bool:
    """Return whether the data end before the first picture's do."""
    try:
        at = _first_gif_picture(data)
        if at + 11 > len(data):
            return True
        at += 11 + _colours(data[at + 9])  # its place, its palette, the width of its codes
        while at < len(data) and (length := data[at]):
            at += 1 + length
    except EndsEarlyError:
        return True
    return at >= len(data)


def _first_gif_picture(data: bytes) -> int:
    """Return where the first picture begins, or whatever else follows the extensions.

    Raises:
        EndsEarlyError: The data end before.
        ImageError: With image_slow.
    """
    if len(data) < 13:
        raise EndsEarlyError
    at, blocks = 13 + _colours(data[10]), 0
    while at < len(data):
        if data[at] != 0x21:
            return at
        at += 2  # an extension and its label; blocks follow, up to an empty one
        length = -1
        while length and at < len(data):
            length = data[at]
            at += 1 + length
            blocks += 1
            if blocks > GIF_BLOCKS:
                raise too_slow(GIF_BLOCKS, "blocks before the first picture")
    raise EndsEarlyError


def _colours(flags: int) -> int:
    """Return the bytes of a palette."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp_header(data: bytes) -> tuple[int, int] | None:
    """Return where the header of a BMP begins, behind a file header or at once, and its bytes; None if it is none."""
    at = 14 if data[:2] == b"BM" else 0
    if at and len(data) < 18:
        return at, 40
    if len(data) < at + 4:
        return None
    (size,) = struct.unpack_from("<I", data, at)
    return (at, size) if at or size in BMP_HEADERS else None


def _check_runs(data: bytes) -> None:
    """Raise `ImageError` if there are more runs than Pillow reads in good time."""
    at, size = _bmp_header(data) or (0, 0)
    runs = size >= 40 and len(data) >= at + 20 and struct.unpack_from("<I", data, at + 16)[0] in RUN_LENGTHS
    if runs and len(data) > RLE_BYTES:
        raise too_slow(RLE_BYTES, "bytes of runs")


def _bmp_ends_early(data: bytes) -> bool:
    """Return whether the data end within the header."""
    at, size = _bmp_header(data) or (0, 0)
    return size in BMP_HEADERS and len(data) < at + size


def _webp_ends_early(data: bytes) -> bool:
    """Return whether the data are fewer than the file says."""
    return len(data) < 8 + int.from_bytes(data[4:8], "little")


def _boxes_end_early(data: bytes) -> bool:
    """Return whether the data end within a box, or before any pixels."""
    at, names = 0, set()
    for _ in range(BOXES):
        if at + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, at)
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
        if length < 8:  # 0: to the end of the file
            return False
        names.add(name)
        at += length
    return at != len(data) or not {b"mdat", b"idat"} & names


def _jpeg2000_ends_early(data: bytes) -> bool:
    """Return whether the data end before the codestream does."""
    try:
        jpeg2000.check(data)
    except EndsEarlyError:
        return True
    return False


ENDS_EARLY: dict[str | None, Callable[[bytes], bool]] = {
    "JPEG": jpeg.ends_early,
    "PNG": png.ends_early,
    "GIF": _gif_ends_early,
    "WebP": _webp_ends_early,
    "TIFF": tiff.ends_early,
    "JPEG 2000": _jpeg2000_ends_early,
    "AVIF": _boxes_end_early,
    "PPM": pnm.ends_early,
    "BMP": _bmp_ends_early,
}
