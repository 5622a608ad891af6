"""The other formats: pixels are the numbers that their writer was given, or are refused."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.vilt.processing.files import bmp, every_format, noise, saved
from vilt.processing.decoding import decode, read_size, to_rgb
from vilt.processing.errors import ImageError

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
RGB = noise(16, 16)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 4), dtype=np.uint8)
COLOURS = PALETTE[:, 2::-1]  # stored as blue, green, red
BGRX = np.dstack([RGB[..., ::-1], GREY]).tobytes()
FIVE, SIX = RGB.astype(int) >> 3, RGB[..., 1].astype(int) >> 2
V555 = FIVE @ [1024, 32, 1]
V565 = FIVE[..., 0] * 2048 + SIX * 32 + FIVE[..., 2]
AS_565 = np.dstack([FIVE[..., 0] * 255 // 31, SIX * 255 // 63, FIVE[..., 2] * 255 // 31])
NIBBLES = GREY % 16


def masks(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


BMP: dict[str, tuple[bytes, np.ndarray]] = {
    "24 bits": (bmp((-16, 16), 24, 0, RGB[..., ::-1].tobytes()), RGB),
    "24 bits, bottom up": (bmp((16, 16), 24, 0, RGB[::-1, :, ::-1].tobytes()), RGB),
    "32 bits": (bmp((-16, 16), 32, 0, BGRX), RGB),
    "15 bits": (bmp((-16, 16), 16, 0, V555.astype("<u2").tobytes()), FIVE * 255 // 31),
    "8 bits": (bmp((-16, 16), 8, 0, GREY.tobytes(), PALETTE.tobytes()), COLOURS[GREY]),
    "4 bits": (
        bmp((-16, 16), 4, 0, (NIBBLES[:, ::2] * 16 + NIBBLES[:, 1::2]).tobytes(), PALETTE[:16].tobytes()),
        COLOURS[NIBBLES],
    ),
    "1 bit": (
        bmp((-16, 16), 1, 0, np.pad(np.packbits(GREY > 99, 1), ((0, 0), (0, 2))).tobytes(), PALETTE[:2].tobytes()),
        COLOURS[(GREY > 99).astype(int)],
    ),
    "runs": (
        bmp((16, 16), 8, 1, b"".join(b"".join(bytes((1, v)) for v in row) + b"\0\0" for row in GREY[::-1]) + b"\0\1",
            PALETTE.tobytes()),
        COLOURS[GREY],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BMP)
def test_bmp(name: str) -> None:
    data, expected = BMP[name]
    assert np.array_equal(np.asarray(decode(data)), expected)
    assert read_size(data) == (16, 16)


def test_bmp_with_masks() -> None:
    for bits, pixels, mask, expected in (
        (16, V565.astype("<u2").tobytes(), masks(0xF800, 0x7E0, 0x1F), AS_565),
        (32, BGRX, masks(0xFF0000, 0xFF00, 0xFF), RGB),
        (32, BGRX, masks(0xFF0, 0xFF00, 0xFF), None),
        (16, V565.astype("<u2").tobytes(), masks(0xF00, 0xF0, 0xF), None),
    ):
        data = bmp((-16, 16), bits, 3, mask + pixels)
        data = data[:10] + struct.pack("<I", 14 + 40 + 12) + data[14:]  # the masks belong to the header
        if expected is None:
            with pytest.raises(ImageError, match="image_unsupported: OSError: Unsupported BMP bitfields layout"):
                decode(data)
        else:
            assert np.array_equal(np.asarray(decode(data)), expected)
    with pytest.raises(ImageError, match="image_unsupported: OSError: Unsupported BMP pixel depth"):
        decode(bmp((-16, 16), 64, 0, BGRX * 2))


@pytest.mark.parametrize("most", [1, 3, 15, 100, 255, 256, 1000, 1023, 4095, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_white_of_any_value(magic: str, most: int) -> None:
    values = GREY.astype(int) * most // 255
    samples = np.repeat(values[..., None], 3, 2) if magic in ("P3", "P6") else values
    head = f"{magic} # {most} is white\n16 16\n# and\n{most}\n".encode()
    if magic in ("P2", "P3"):
        data = head + " ".join(map(str, samples.ravel())).encode() + b"\n"
    else:
        data = head + samples.astype(np.uint8 if most < 256 else ">u2").tobytes()
    got = np.asarray(decode(data)).astype(float)
    assert np.abs(got[..., 0] - values * 255 / most).max() < 1
    assert np.array_equal(got, np.repeat(got[..., :1], 3, 2))
    pillow = Image.open(io.BytesIO(data))
    assert np.array_equal(got, np.asarray(to_rgb(pillow))), "what Pillow reads, only sooner"
    assert got.max() == 255
    assert got.min() == 0


def test_no_pixel_maps() -> None:
    with pytest.raises(ImageError, match="image_unsupported: PPM with a comment that touches a number"):
        decode(b"P6\n16 16#comment\n255\n" + RGB.tobytes())
    with pytest.raises(ImageError, match="image_unsupported: pixels of mode F"):
        decode(b"Pf\n16 16\n-1.0\n" + (GREY / 255).astype("<f4").tobytes())
    with pytest.raises(ImageError, match="image_truncated"):
        decode(b"P5\n16 16\n100\n" + GREY.tobytes()[:-1])


def test_jpeg_2000_of_8_bits_or_grey_of_more() -> None:
    for settings in ({}, {"no_jp2": True}, {"tile_size": (8, 8)}):
        assert np.array_equal(np.asarray(decode(saved(RGB, "JPEG2000", **settings))), RGB)
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + 255
    assert np.array_equal(np.asarray(decode(saved(grey, "JPEG2000")))[..., 0], grey >> 8)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (15, "3 components of 8, 16 bits"),
        (11, "3 components of 8, 12 bits"),
        (3, "3 components of 4, 8 bits"),
        (0x87, "3 signed components of 8 bits"),
    ],
)
def test_jpeg_2000_of_other_samples_is_refused(size: int, message: str) -> None:
    data = bytearray(saved(RGB, "JPEG2000", no_jp2=True))
    data[42] = size  # of the first component, less one; the high bit says that it is signed
    for read in (bytes(data), Image.open(io.BytesIO(data))):
        with pytest.raises(ImageError, match=f"image_unsupported: JPEG 2000 with {message}"):
            to_rgb(read)


def test_half_a_jpeg_2000_is_truncated_however_it_was_opened() -> None:
    data = saved(RGB, "JPEG2000")
    with pytest.raises(ImageError, match="image_truncated: the JPEG 2000 codestream has no end"):
        to_rgb(Image.open(io.BytesIO(data[:-40])))


def test_of_several_pictures_the_first() -> None:
    for name in ("gif animated", "webp animated", "png animated", "avif animated", "jpeg mpo"):
        data = every_format()[name]
        assert np.array_equal(np.asarray(decode(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_cmyk_with_adobes_marker_is_inverted_once() -> None:
    smooth = Image.fromarray(noise(2, 2)).resize((64, 64), Image.Resampling.BILINEAR)
    data = saved(smooth.convert("CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in data
    assert np.abs(np.asarray(decode(data)).astype(int) - np.asarray(smooth)).max() <= 3


def test_lossless_formats_are_what_was_saved() -> None:
    for kind, settings in (
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("DIB", {}),
    ):
        assert np.array_equal(np.asarray(decode(saved(RGB, kind, **settings))), RGB), kind


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "LAB", "HSV", "YCbCr", "RGBX"])
def test_pictures_of_every_mode_become_rgb(mode: str) -> None:
    base = Image.fromarray(np.dstack([RGB, GREY | 255]))
    picture = {"La": base.convert("LA"), "RGBa": base}.get(mode, base.convert("RGB"))
    picture = Image.new("LAB", (16, 16), (128, 128, 128)) if mode == "LAB" else picture.convert(mode)
    got = to_rgb(picture)
    assert (got.mode, got.size) == ("RGB", (16, 16))
    if mode in ("RGBa", "RGBX"):
        assert np.array_equal(np.asarray(got), RGB)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bits_in_every_order(mode: str) -> None:
    values = GREY.astype(np.uint16) * 257
    picture = Image.frombytes(mode, (16, 16), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    assert np.array_equal(np.asarray(to_rgb(picture))[..., 0], GREY)


def test_32_bit_integers_have_no_known_white() -> None:
    with pytest.raises(ImageError, match="pixels of mode I from 0 to 255; integers of 8 or 16 bits are read"):
        to_rgb(Image.fromarray(GREY).convert("I"))
