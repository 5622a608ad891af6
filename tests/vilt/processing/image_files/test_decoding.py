"""Bytes, arrays and pictures become RGB: the pixels that their writer was given, or a reason."""

import io
import struct

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from tests.conftest import png
from tests.vilt.processing.files import bmp, every_format, noise, saved
from tests.vilt.processing.test_images import picture
from vilt import ImageError, ViltImageProcessor
from vilt.processing.image_files.decoding import decode, read_size, to_rgb

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
    for kind, options in (
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("DIB", {}),
    ):
        assert np.array_equal(np.asarray(decode(saved(RGB, kind, **options))), RGB), kind


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


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb_as_pillow_converts_it(mode: str) -> None:
    image = picture(60, 40).convert(mode)
    assert np.array_equal(np.asarray(to_rgb(image)), np.asarray(image.convert("RGB")))


def test_greys_of_16_bits_keep_their_high_byte() -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    for image in (Image.fromarray(values), Image.open(io.BytesIO(buffer.getvalue())), buffer.getvalue()):
        assert np.array_equal(np.asarray(to_rgb(image))[..., 0], values >> 8)
    with pytest.raises(ImageError, match="pixels of mode F from 0 to 1; integers of 8 or 16 bits are read"):
        to_rgb(Image.fromarray(np.eye(8, dtype=np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_an_option(orientation: int) -> None:
    picture_ = picture(60, 40)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    picture_.save(buffer, "JPEG", exif=exif, quality=95)
    data = buffer.getvalue()
    as_stored, upright = Image.open(io.BytesIO(data)), ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(as_stored)), "the default, as transformers does"
    turned = decode(data, exif_orientation=True)
    assert np.array_equal(np.asarray(turned), np.asarray(upright))
    assert np.array_equal(np.asarray(to_rgb(turned, exif_orientation=True)), np.asarray(upright)), "turned once"
    assert read_size(data) == (40, 60)
    assert read_size(data, exif_orientation=True) == turned.size[::-1]
    got = ViltImageProcessor(exif_orientation=True)(data, return_tensors="np")["pixel_values"]
    assert np.array_equal(got, transformers.ViltImageProcessor()(upright, return_tensors="np")["pixel_values"])


def test_arrays_bytes_and_pictures_are_the_same_image() -> None:
    image = picture(64, 48)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    for same in (np.asarray(image), buffer.getvalue(), image):
        assert np.array_equal(np.asarray(to_rgb(same)), np.asarray(image))


def jpeg() -> bytes:
    buffer = io.BytesIO()
    picture(200, 150).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image_unsupported"),
        (b"<html>404</html>", "image_unsupported"),
        (jpeg()[:2000], "image_truncated"),
        (png(300, 200, mode="L")[:100], "image_truncated"),
        (png(20, 20)[:-20] + b"\0" * 8, "image_corrupt"),
        (jpeg()[:300] + b"\xff" * 40, "image_truncated"),
        (png(20, 20)[:50] + b"\x55" * 5 + png(20, 20)[55:], "image_corrupt"),
    ],
)
def test_damaged_bytes_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.reason == reason
    assert caught.value.detail


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_mutated_bytes_give_an_image_or_a_reason(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from((jpeg(), png(40, 30)))))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=20)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        assert decode(bytes(content[:cut])).mode == "RGB"
    except ImageError as error:
        assert error.reason.startswith("image_")


def test_pixels_are_counted_before_they_are_decoded() -> None:
    data = png(2000, 1500)
    assert read_size(data) == (1500, 2000)
    with pytest.raises(ImageError, match="image_bomb: 2000x1500 pixels"):
        decode(data, max_pixels=1_000_000)


def test_other_objects_are_refused() -> None:
    with pytest.raises(ImageError, match="float64"):
        to_rgb(np.zeros((4, 4, 3)))
    with pytest.raises(ImageError, match="a str"):
        to_rgb("image.jpg")  # type: ignore[arg-type]
