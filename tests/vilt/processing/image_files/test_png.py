"""PNG: what no pixel depends on does not decide whether a picture is whole."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from tests.vilt.processing.files import noise, saved
from vilt.processing.errors import ImageError
from vilt.processing.image_files.decoding import decode, read_size
from vilt.processing.image_files.png import chunks, without_texts

PIXELS = noise()


def with_text(kind: str, text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    if kind == "iTXt":
        info.add_itxt("Comment", text, zip=True)
    else:
        info.add_text("Comment", text, zip=kind == "zTXt")
    return saved(PIXELS, "PNG", pnginfo=info)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize("size", [10, 1_200_000])
def test_texts_of_any_size(kind: str, size: int) -> None:
    data = with_text(kind, "x" * size)
    assert kind.encode() in {chunk.name for chunk in chunks(data)}
    assert np.array_equal(np.asarray(decode(data)), PIXELS)
    assert read_size(data) == (40, 48)


def test_a_large_colour_profile() -> None:
    data = saved(PIXELS, "PNG", icc_profile=b"\0" * 1_200_000)
    assert b"iCCP" in {chunk.name for chunk in chunks(data)}
    assert np.array_equal(np.asarray(decode(data)), PIXELS)


def test_many_texts_together() -> None:
    data = with_text("zTXt", "x" * 900_000)
    text = next(chunk for chunk in chunks(data) if chunk.name == b"zTXt")
    many = data[: text.begin] + data[text.begin : text.end] * 100 + data[text.end :]
    assert np.array_equal(np.asarray(decode(many)), PIXELS)


def test_a_damaged_text_leaves_the_pixels_whole() -> None:
    data = bytearray(with_text("zTXt", "x" * 1000))
    data[data.find(b"zTXt") + 15] ^= 0xFF
    assert np.array_equal(np.asarray(decode(bytes(data))), PIXELS)


@pytest.mark.parametrize("how", ["eXIf", "XMP", "raw profile"])
def test_an_orientation_stays(how: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    if how == "XMP":
        info.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta tiff:Orientation="6"/>', zip=False)
    if how == "raw profile":
        body = exif.tobytes()
        info.add_text("Raw profile type exif", f"\nexif\n{len(body):8d}\n{body.hex()}\n", zip=True)
    info.add_text("Comment", "x" * 2_000_000, zip=True)
    data = saved(PIXELS, "PNG", pnginfo=info, **({"exif": exif} if how == "eXIf" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.fromarray(np.rot90(PIXELS, -1))))
    assert np.array_equal(np.asarray(decode(data, exif_orientation=True)), upright)
    assert read_size(data, exif_orientation=True) == (48, 40)


def test_a_file_without_texts_is_the_same_file() -> None:
    data = saved(PIXELS, "PNG")
    assert without_texts(data) is data


def test_16_bits_palettes_and_transparency() -> None:
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    assert np.array_equal(np.asarray(decode(saved(grey, "PNG")))[..., 0], grey >> 8)
    colours = (PIXELS.astype(np.uint16) * 257).astype(">u2")
    for alpha in (False, True):
        values = np.dstack([colours, colours[..., 0]]) if alpha else colours
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        assert np.array_equal(np.asarray(decode(raw_png(48, 40, 16, 6 if alpha else 2, rows))), PIXELS)
    palette = Image.fromarray(PIXELS).convert("P")
    data = saved(palette, "PNG", transparency=7)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(palette.convert("RGB")))


def raw_png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pixels_that_are_damaged_are_not_whole() -> None:
    data = bytearray(with_text("zTXt", "x" * 1000))
    data[data.find(b"IDAT") + 40] ^= 0xFF
    with pytest.raises(ImageError, match="image_corrupt"):
        decode(bytes(data))
