"""TIFF files: the tags that say what a sample means, which Pillow reads in part.

Pillow opens signed and 32-bit samples as if they were 16-bit greys, does not stretch 12 bits, does not invert 16-bit
pictures whose 0 is white, and mixes up the halves of uncompressed 16-bit planes. What it gets wrong is put right here
or refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import PIL
from PIL import Image

from vilt.processing.errors import EndsEarlyError, ImageError, too_slow

ORDERS = {b"II": "<", b"MM": ">"}
STRIPS = 100_000  # most strips or tiles
NUMBERS = 3 << 16  # most of a palette
PLAIN_YCBCR = int(PIL.__version__.partition(".")[0]) >= 13  # before, Pillow reads its three samples as four
TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # of the numbers in tags
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BITS, COMPRESSION, MEANING, STRIP_OFFSETS, STRIP_BYTES, SAMPLES = 258, 259, 262, 273, 279, 277
PLANES, PALETTE, TILE_OFFSETS, TILE_BYTES, INKS, FORMAT, SUBSAMPLING, DEPTH = 284, 320, 324, 325, 332, 339, 530, 32997
SIZES = frozenset({STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES})
READ = SIZES | {BITS, COMPRESSION, MEANING, SAMPLES, PLANES, PALETTE, INKS, FORMAT, SUBSAMPLING, DEPTH}
WHITE_IS_ZERO, BLACK_IS_ZERO, INDEXED, SEPARATED, YCBCR = 0, 1, 3, 5, 6
FORMATS = {1: "unsigned", 2: "signed", 3: "float", 4: "undefined", 5: "complex integer", 6: "complex float"}
Tags = dict[int, tuple[int, ...]]


def is_tiff(data: bytes) -> bool:
    """Return whether the data begin as a TIFF or BigTIFF file does."""
    order = ORDERS.get(data[:2])
    return order is not None and data[2:4] in (struct.pack(f"{order}H", 42), struct.pack(f"{order}H", 43))


def read_tags(data: bytes) -> Tags:
    """Return the numbers of the tags that decide about pixels, of the first picture.

    Raises:
        EndsEarlyError: The data end before these tags do.
        ImageError: With image_slow for more strips or tiles than any program writes.
    """
    tags: Tags = {}
    for tag, kind, count, at in _entries(data):
        if tag in READ and kind in TYPES:
            if count > (NUMBERS if tag == PALETTE else STRIPS):
                raise too_slow(STRIPS, "strips or tiles")
            values = struct.Struct(f"{ORDERS[data[:2]]}{count}{TYPES[kind]}")
            if at + values.size > len(data):
                raise EndsEarlyError
            tags[tag] = values.unpack_from(data, at)
    return tags


def _entries(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag, type, count, and where the values are, for each entry of the first directory.

    Raises:
        EndsEarlyError: The data end before the directory does.
    """
    order = ORDERS[data[:2]]
    big = data[2:4] == struct.pack(f"{order}H", 43)
    number, count_type, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    entry = struct.Struct(f"{order}HH{number}")
    try:
        (at,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + count_type, data, at)
        at += struct.calcsize(order + count_type)
        for i in range(min(entries, 0xFFFF)):
            tag, kind, count = entry.unpack_from(data, at + i * (entry.size + inline))
            where = at + i * (entry.size + inline) + entry.size
            if count * TYPE_BYTES.get(kind, 0) > inline:
                (where,) = struct.unpack_from(order + number, data, where)
            yield tag, kind, count, where
    except struct.error:
        raise EndsEarlyError from None


def tags_of(picture: Image.Image) -> Tags:
    """Return the same of a picture that Pillow has opened."""
    found = {tag: picture.tag_v2[tag] for tag in READ if tag in picture.tag_v2}  # type: ignore[attr-defined]
    return {tag: value if isinstance(value, tuple) else (value,) for tag, value in found.items()}


def check_samples(tags: Tags) -> None:
    """Raise `ImageError` with image_unsupported if Pillow's pixels would not be those that the tags describe."""
    bits, formats = tags.get(BITS, (1,)), tags.get(FORMAT, (1,))
    meaning, compressed = tags.get(MEANING, (-1,))[0], tags.get(COMPRESSION, (1,))[0] != 1
    if meaning < 0:
        _refuse("no PhotometricInterpretation: nobody knows whether 0 is black or white")
    if set(formats) != {1}:
        names = ", ".join(FORMATS.get(value, str(value)) for value in sorted(set(formats)))
        _refuse(f"{names} samples, whose black and white no tag tells")
    if len(set(bits)) > 1 or bits[0] not in (1, 2, 4, 8, 12, 16):
        _refuse(f"samples of {', '.join(map(str, bits))} bits")
    if bits[0] == 12 and meaning != BLACK_IS_ZERO:
        _refuse("12-bit samples that are not grey with 0 for black")
    if bits[0] > 8 and not compressed and tags.get(PLANES, (1,))[0] == 2 and tags.get(SAMPLES, (1,))[0] > 1:
        _refuse(f"uncompressed planes of {bits[0]} bits")
    if meaning == YCBCR and not compressed and tags.get(SUBSAMPLING, (2, 2)) != (1, 1):
        _refuse("uncompressed YCbCr with fewer samples of colour than of brightness")
    if meaning == YCBCR and not compressed and not PLAIN_YCBCR:
        _refuse(f"uncompressed YCbCr, which Pillow {PIL.__version__} misreads and Pillow 13 reads")
    if meaning == SEPARATED and tags.get(INKS, (1,))[0] != 1:
        _refuse("inks that are not cyan, magenta, yellow and black")
    if meaning == INDEXED and 0 < max(tags.get(PALETTE, (0,))) < 256:
        _refuse("a palette of 8-bit numbers, where the format has 16-bit ones")
    if tags.get(DEPTH, (1,))[0] > 1:
        _refuse("a volume of several layers")


def _refuse(what: str) -> None:
    """Raise the error of samples that are not read."""
    raise ImageError("image_unsupported", f"TIFF with {what}; unsigned samples of 1 to 16 bits are read")


def to_8_bits(values: np.ndarray, tags: Tags) -> np.ndarray:
    """Return greys of 12 or 16 bits, uint16 (H, W), as uint8 with 0 for black."""
    high = (values >> (tags.get(BITS, (16,))[0] - 8)).astype(np.uint8)
    return 255 - high if tags.get(MEANING, (1,))[0] == WHITE_IS_ZERO else high


def ends_early(data: bytes) -> bool:
    """Return whether the tags, or the strips or tiles that they point to, lie beyond the end of the data."""
    try:
        tags = read_tags(data)
        if any(at + count * TYPE_BYTES.get(kind, 0) > len(data) for _, kind, count, at in _entries(data)):
            return True
    except EndsEarlyError:
        return True
    for offsets, sizes in ((STRIP_OFFSETS, STRIP_BYTES), (TILE_OFFSETS, TILE_BYTES)):
        if any(
            begin + size > len(data) for begin, size in zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False)
        ):
            return True
    return False
