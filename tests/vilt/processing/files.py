"""Files of every format that is read, as their writers write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np
import tifffile
from PIL import Image


def noise(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    """uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image: Image.Image | np.ndarray, kind: str, **settings: object) -> bytes:
    """By Pillow."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **settings)
    return file.getvalue()


def tiff(values: np.ndarray, **settings: object) -> bytes:
    """By tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return file.getvalue()


def raw_tiff(
    shape: tuple[int, int], strips: Sequence[bytes], tags: dict[int, tuple[int, ...]], order: str = "<"
) -> bytes:
    """A TIFF of any tags, which no tool would write. Numbers of one tag are 16 bits where all fit."""
    sizes = tuple(map(len, strips))
    offsets = [0, *accumulate(sizes)][:-1]
    tags = {
        256: (shape[1],),
        257: (shape[0],),
        259: (1,),
        278: (shape[0],),
        273: tuple(8 + offset for offset in offsets),
        279: sizes,
        **tags,
    }
    directory = 8 + sum(sizes)
    behind = directory + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for tag, values in sorted(tags.items()):
        code, kind = ("H", 3) if max(values) < 1 << 16 else ("I", 4)
        packed = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack(f"{order}I", behind + len(tail)), tail + packed
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory)
    return b"".join((head, *strips, struct.pack(f"{order}H", len(tags)), entries, struct.pack(f"{order}I", 0), tail))


def bmp(shape: tuple[int, int], bits: int, compression: int, pixels: bytes, palette: bytes = b"") -> bytes:
    """A BMP whose rows are written top down if the height in `shape` is negative."""
    colours = len(palette) // 4
    header = struct.pack("<IiiHHIIiiII", 40, shape[1], shape[0], 1, bits, compression, len(pixels), 0, 0, colours, 0)
    begin = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", begin + len(pixels), 0, 0, begin) + header + palette + pixels


@cache
def every_format() -> dict[str, bytes]:
    """Good files of every format, in their flavours."""
    pixels = noise()
    picture, other = Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())
    animated = {"save_all": True, "append_images": [other]}
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = f"P3\n# of numbers\n48 40\n255\n{' '.join(map(str, pixels.ravel()))}\n".encode()
    files = {
        "jpeg": saved(picture, "JPEG"),
        "jpeg progressive": saved(picture, "JPEG", progressive=True),
        "jpeg cmyk": saved(picture.convert("CMYK"), "JPEG"),
        "jpeg grey": saved(picture.convert("L"), "JPEG"),
        "jpeg exif": saved(picture, "JPEG", exif=exif),
        "jpeg mpo": saved(picture, "MPO", **animated),
        "png": saved(picture, "PNG"),
        "png palette": saved(picture.convert("P"), "PNG"),
        "png animated": saved(picture, "PNG", **animated),
        "gif": saved(picture, "GIF"),
        "gif animated": saved(picture, "GIF", **animated),
        "webp": saved(picture, "WEBP"),
        "webp lossless": saved(picture, "WEBP", lossless=True),
        "webp animated": saved(picture, "WEBP", **animated),
        "bmp": saved(picture, "BMP"),
        "bmp palette": saved(picture.convert("P"), "BMP"),
        "dib": saved(picture, "DIB"),
        "ppm": saved(picture, "PPM"),
        "pgm": saved(picture.convert("L"), "PPM"),
        "pgm 16": saved(pixels[..., 0].astype(np.uint16) * 257, "PPM"),
        "pgm 12": b"P5\n48 40\n4095\n" + (pixels[..., 0].astype(">u2") << 4).tobytes(),
        "pbm": saved(picture.convert("1"), "PPM"),
        "ppm plain": plain,
        "j2k": saved(picture, "JPEG2000", no_jp2=True),
        "jp2": saved(picture, "JPEG2000"),
        "jp2 tiles": saved(picture, "JPEG2000", tile_size=(16, 16)),
        "jp2 lossy": saved(picture, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[8]),
        "avif": saved(picture, "AVIF"),
        "avif animated": saved(picture, "AVIF", **animated),
        "tifffile strips": tiff(pixels, photometric="rgb", rowsperstrip=4),
        "tifffile big": tiff(pixels, photometric="rgb", tile=(16, 16), compression="zlib", bigtiff=True),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"tiff {compression}"] = saved(picture, "TIFF", compression=compression)
    return files
