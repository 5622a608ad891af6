"""JPEG files: their marker segments, and their pixels by libjpeg-turbo.

simplejpeg gives the pixels that Pillow gives, in less time. It judges more strictly: whatever it warns of, and whatever
is unusual in the segments, is left to Pillow, so that a file has one outcome.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from vilt.processing.errors import EndsEarlyError, too_slow

START = b"\xff\xd8\xff"
SEGMENTS = 10_000  # most marker segments before the pixels
HEADER_BYTES = 16 * 2**20  # most bytes before the pixels: an ICC profile can have 255 segments of 64 kB
JUNK_BYTES = 100_000  # most bytes between two segments, which Pillow reads one by one
SCANS = 200  # most scans; a progressive file has some 10
SHRINKS = (8, 4, 2)  # by which libjpeg-turbo decodes to a smaller picture
SCANNED_PIXELS = 4 * 10**9  # most scans times pixels: what 22 scans of the largest picture have

SOS, EOI = 0xDA, 0xD9
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
HUFFMAN_8_BIT = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xC9, 0xCB})  # one scan, if it has all components
TABLES = frozenset({0xC4, 0xDB, 0xDD})  # Huffman and quantization tables, restart interval
METADATA = frozenset({*range(0xE0, 0xF0), 0xFE})  # APP0 to APP15, comments
MARKER = re.compile(rb"\xff[\x01-\xcf\xd9-\xfe]")  # no stuffed zero, restart marker, fill byte


class Header(NamedTuple):
    """The facts in the segments before the pixels.

    Attributes:
        height, width: In pixels; 0 if no segment tells.
        components: Of a pixel: 1 grey, 3 colour, 4 CMYK.
        bits: Of a sample.
        several: Whether the pixels come in several scans.
        usual: Whether every decoder reads these segments alike: 8-bit Huffman codes, nothing doubled or unknown.
        tagged: Whether a segment may hold an EXIF orientation.
        scan: Where the first scan begins.
    """

    height: int = 0
    width: int = 0
    components: int = 0
    bits: int = 0
    several: bool = False
    usual: bool = True
    tagged: bool = False
    scan: int = 0


def read_header(data: bytes) -> Header:
    """Walk through the segments up to the first scan.

    Raises:
        EndsEarlyError: The data end before a scan begins.
        ImageError: With image_slow, if there are more segments or scans than any program writes.
    """
    header, at, segments, junk = Header(), 2, 0, 0
    while True:
        marker_at = data.find(b"\xff", at)
        if marker_at < 0:
            raise EndsEarlyError
        code_at = marker_at + 1
        while data[code_at : code_at + 1] == b"\xff":  # fill bytes
            step = len(data) if code_at - marker_at > JUNK_BYTES else code_at + 1
            code_at = step
        junk += marker_at - at + code_at - marker_at - 1
        if junk > JUNK_BYTES:
            raise too_slow(JUNK_BYTES, "bytes between segments")
        if code_at + 3 > len(data):
            raise EndsEarlyError
        marker, length = data[code_at], int.from_bytes(data[code_at + 1 : code_at + 3], "big")
        if marker_at > at or code_at > marker_at + 1:
            header = header._replace(usual=False)
        if marker == 0 or 0xD0 <= marker <= 0xD9 or marker == 0x01:  # without a length: not here in a good file
            header, at = header._replace(usual=False) if header.usual else header, code_at + 1
            junk += 1
            continue
        segments += 1
        if segments > SEGMENTS:
            raise too_slow(SEGMENTS, "segments before the pixels")
        if at > HEADER_BYTES:
            raise too_slow(HEADER_BYTES, "bytes before the pixels")
        at = code_at + 1 + max(length, 2)
        if at > len(data):
            raise EndsEarlyError
        header = _with_segment(header, marker, data[code_at + 3 : at], length)
        if marker == SOS:
            header = header._replace(scan=marker_at)
            if header.several or data[code_at + 3] < header.components:
                _check_scans(data, header)
            return header


def _with_segment(header: Header, marker: int, content: bytes, length: int) -> Header:
    """Return the header with what one more segment says."""
    if length < 2:
        return header._replace(usual=False)
    if marker in FRAMES:
        if len(content) < 6:
            return header._replace(usual=False)
        known = marker in HUFFMAN_8_BIT and content[0] == 8 and len(content) == 6 + 3 * content[5]
        return header._replace(
            height=int.from_bytes(content[1:3], "big"),
            width=int.from_bytes(content[3:5], "big"),
            components=content[5],
            bits=content[0],
            several=marker not in SEQUENTIAL,
            usual=header.usual and known and not header.components,  # the first frame, if there are two
        )
    if marker in METADATA:
        return header._replace(tagged=header.tagged or marker in (0xE1, 0xEC))
    return header if marker in TABLES or marker == SOS else header._replace(usual=False)


def _check_scans(data: bytes, header: Header) -> None:
    """Raise `ImageError` if there are more scans than any program writes."""
    most = min(SCANS, max(SCANNED_PIXELS // max(header.height * header.width, 1), 1))
    if data.count(bytes((0xFF, SOS)), header.scan) <= most:  # an upper bound, in no time
        return
    scans, at = 0, header.scan
    while found := MARKER.search(data, at):
        at, marker = found.end(), data[found.end() - 1]
        if marker == EOI:
            return
        if marker in TABLES or marker in METADATA or marker == SOS:
            at += int.from_bytes(data[at : at + 2], "big")
        scans += marker == SOS
        if scans > most:
            raise too_slow(most, f"scans of {header.width}x{header.height} pixels")


def shrink_to(header: Header, smallest: tuple[int, int] | None) -> int:
    """Return the largest of 8, 4, 2 and 1 by which a picture can be shrunk without being smaller than this.

    Args:
        header: Of the picture.
        smallest: Height and width in pixels; None: it is not shrunk.
    """
    height, width = smallest or (header.height, header.width)
    return next((by for by in SHRINKS if by * height <= header.height and by * width <= header.width), 1)


def decode_rgb(data: bytes, header: Header, shrink: int = 1) -> np.ndarray | None:
    """Decode with libjpeg-turbo.

    Args:
        data: The file.
        header: Its header.
        shrink: 2, 4 or 8 to decode at a half, a quarter or an eighth of the size, in less time.

    Returns:
        uint8 (H, W, 3). None if the file is not one that Pillow surely
        decodes to the same pixels.
    """
    if not header.usual or header.components not in (1, 3) or not header.height or not header.width:
        return None
    if not same_pixels():
        return None
    height, width = -(-header.height // shrink), -(-header.width // shrink)
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, strict=True)
    except ValueError:  # an error or a warning
        return None
    return pixels if pixels.shape == (height, width, 3) else None


@cache
def same_pixels() -> bool:
    """Return whether the installed libjpeg-turbo and Pillow's give the same pixels, tried on small pictures."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    for settings in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"quality": 30, "progressive": True}):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG", **settings)
        if not np.array_equal(simplejpeg.decode_jpeg(file.getvalue(), "RGB"), np.asarray(Image.open(file))):
            return False
    return True


def ends_early(data: bytes) -> bool:
    """Return whether the data end before the pixels begin; where they end is for the decoder to say."""
    try:
        read_header(data)
    except EndsEarlyError:
        return True
    return False
