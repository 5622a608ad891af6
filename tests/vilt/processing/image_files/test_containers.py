"""A file's structure: the beginning of a file is told as such, and what was made to take long is refused in no time."""

import struct
import time
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image

from tests.vilt.processing.files import bmp, every_format, noise, raw_tiff, saved
from vilt.processing.errors import ImageError
from vilt.processing.image_files.containers import kind_of
from vilt.processing.image_files.decoding import decode, read_size

STARTS = {"jpeg": 3, "png": 8, "gif": 6, "webp": 12, "bmp": 2, "dib": 4, "j2k": 4, "jp2": 12, "avif": 12}


@pytest.mark.parametrize("name", every_format())
def test_every_beginning_of_a_file_is_truncated_and_never_another_picture(name: str) -> None:
    data = every_format()[name]
    whole, start = decode(data).tobytes(), STARTS.get(name.split()[0], 4)
    step = max(len(data) // 30, 1)
    lengths = {
        *range(start, min(start + 40, len(data)), 3),
        *range(start, len(data), step),
        *range(len(data) - 12, len(data)),
    }
    for length in lengths:
        if name == "ppm plain" and length >= len(data) - 2:
            continue  # a last number that lost a digit is a number
        try:
            assert decode(data[:length]).tobytes() == whole, f"another picture from {length} of {len(data)} bytes"
        except ImageError as error:
            assert error.reason == "image_truncated", f"{length} of {len(data)} bytes: {error}"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0heismsf1", "HEIC"),
        (b'<?xml version="1.0"?>', "XML"),
        (b"<!DOCTYPE html><p>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"/9j/4AAQSkZJRg", "JPEG in base64"),
        (b"iVBORw0KGgoAAA", "PNG in base64"),
        (b"%PDF-1.4\n", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"P7\nWIDTH 1\n", "PAM"),
    ],
)
def test_formats_that_are_not_read_are_named(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind
    with pytest.raises(ImageError, match=f"image_unsupported: {len(data)} bytes of a {kind} file"):
        decode(data)
    with pytest.raises(ImageError, match=r"a format that is not read$"):
        decode(data)


@pytest.mark.parametrize("brands", [b"mif1\0\0\0\0mif1avif", b"msf1\0\0\0\0avismsf1", b"mif1\0\0\0\0mif1miaf"])
def test_avif_is_told_from_heic_by_its_brands(brands: bytes) -> None:
    """A brand counts that stands in the box of brands, not what follows it."""
    data = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands
    assert kind_of(data) == kind_of(data + b"heic") == "AVIF"


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@cache
def slow_files() -> dict[str, bytes]:
    """Small files that take Pillow seconds to hours."""
    red = Image.new("RGB", (64, 64), "red")
    jpeg, png, gif, jp2 = (saved(red, kind) for kind in ("JPEG", "PNG", "GIF", "JPEG2000"))
    progressive = saved(Image.new("L", (640, 640), 100), "JPEG", progressive=True)
    last = progressive.rfind(b"\xff\xda")
    colours = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    empty = struct.pack(">I4s", 8, b"free")
    return {
        "scans": progressive[:-2] + progressive[last:-2] * 5000 + b"\xff\xd9",
        "few scans of many pixels": _scans(3),
        "JPEG comments": jpeg[:2] + b"\xff\xfe\0\2" * 50_000 + jpeg[2:],
        "fill bytes": jpeg[:2] + b"\xff" * 1_000_000 + jpeg[2:],
        "markers without a length": jpeg[:2] + b"\xff\x01" * 200_000 + jpeg[2:],
        "junk between segments": jpeg[:20] + b"\0" * 1_000_000 + jpeg[20:],
        "EXIF in parts": jpeg[:2] + (b"\xff\xe1\xff\xffExif\0\0" + b"\0" * 65_527) * 300 + jpeg[2:],
        "empty pixels": png[:33] + chunk(b"IDAT") * 60_000 + png[33:],
        "chunks before": png[:33] + chunk(b"abCd") * 60_000 + png[33:],
        "chunks behind": png[:-12] + chunk(b"tEXt", b"a\0b") * 60_000 + png[-12:],
        "PPM comment": b"P6\n#" + b"x" * 1_000_000 + b"\n4 4\n255\n" + b"\0" * 48,
        "PPM comments": b"P6\n" + b"#\n" * 500_000 + b"\n4 4\n255\n" + b"\0" * 48,
        "PPM spaces": b"P5" + b" " * 1_000_000 + b"4 4\n255\n" + b"\0" * 16,
        "comments between numbers": b"P3\n4 4\n255\n" + b"#a\n" * 500_000 + b"1 " * 48,
        "numbers": b"P3\n4000 4000\n255\n" + b"1 " * 4_500_000,
        "runs": bmp((4096, 4096), 8, 1, b"\1\1" * 4_500_000, b"\0" * 1024),
        "GIF extensions": gif[:colours] + b"\x21\xfe\1a\0" * 30_000 + gif[colours:],
        "GIF comment": gif[:colours] + b"\x21\xfe" + b"\1a" * 30_000 + b"\0" + gif[colours:],
        "JP2 boxes": jp2[:12] + empty * 150_000 + jp2[12:],
        "strips": raw_tiff((200_000, 1), [b"\0"] * 150_000, {258: (8,), 262: (1,), 277: (1,), 278: (1,)}),
    }


def _scans(count: int) -> bytes:
    """A JPEG that says 60,000 x 60,000, with its scans repeated."""
    data = bytearray(saved(Image.new("L", (8, 8)), "JPEG", progressive=True))
    frame = data.find(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data[:-2] + data[data.find(b"\xff\xda") : -2] * count + b"\xff\xd9")


@pytest.mark.parametrize("name", slow_files())
def test_what_takes_long_is_refused_before_it_is_decoded(name: str) -> None:
    data = slow_files()[name]
    began = time.process_time()
    for read in (read_size, decode):
        with pytest.raises(ImageError) as caught:
            read(data, 10**10)  # type: ignore[operator]
        assert caught.value.reason == "image_slow", caught.value
        assert caught.value.detail.startswith("more than ")
    print(f"{name}: {len(data)} bytes refused twice in {time.process_time() - began:.2f} s")


def test_honest_files_are_far_from_every_limit() -> None:
    large = Image.fromarray(noise(600, 800))
    lines = [row.tobytes() for row in noise(3000, 8)[..., 0]]
    for data in (
        saved(large, "JPEG", progressive=True, quality=98),
        saved(large, "PNG", compress_level=0),
        saved(large, "JPEG2000", tile_size=(32, 32)),
        saved(large.resize((400, 300)), "GIF", comment=b"x" * 100_000),
        raw_tiff((3000, 8), lines, {258: (8,), 262: (1,), 277: (1,), 278: (1,)}),
        b"P6\n# " + b"x" * 50_000 + b"\n4 4\n255\n" + b"\0" * 48,
    ):
        assert np.asarray(decode(data)).shape == (*read_size(data), 3)
