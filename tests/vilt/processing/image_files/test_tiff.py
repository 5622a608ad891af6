"""TIFF: samples of every kind are the numbers that their writer was given, or are refused."""

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.vilt.processing.files import noise, raw_tiff, tiff
from vilt.processing.errors import ImageError
from vilt.processing.image_files import tiff as tiff_tags
from vilt.processing.image_files.decoding import decode, read_size, to_rgb

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
GREY_16 = GREY.astype(np.uint16) * 257
RGB, LARGE = noise(16, 16), noise(50, 70)
CMYK = np.dstack([RGB, GREY])
PALETTE = np.random.default_rng(1).integers(0, 65536, (3, 256), dtype=np.uint16)
AS_RGB = np.asarray(Image.fromarray(CMYK, "CMYK").convert("RGB"))
YCC = np.asarray(Image.fromarray(LARGE).convert("YCbCr"))
YCC_AS_RGB = np.asarray(Image.fromarray(LARGE).convert("YCbCr").convert("RGB"))


def planes(values: np.ndarray) -> np.ndarray:
    return values.transpose(2, 0, 1).copy()


READ: dict[str, tuple[np.ndarray, dict[str, object], np.ndarray]] = {
    "grey": (GREY, {"photometric": "minisblack"}, GREY),
    "grey, 0 is white": (GREY, {"photometric": "miniswhite"}, 255 - GREY),
    "16 bits": (GREY_16, {"photometric": "minisblack"}, GREY),
    "16 bits, strips": (
        LARGE[..., 0] * np.uint16(257),
        {"photometric": "minisblack", "rowsperstrip": 7},
        LARGE[..., 0],
    ),
    "bilevel": (GREY > 99, {"photometric": "minisblack"}, np.where(GREY > 99, 255, 0)),
    "bilevel, 0 is white": (GREY > 99, {"photometric": "miniswhite"}, np.where(GREY > 99, 0, 255)),
    "rgb": (RGB, {"photometric": "rgb"}, RGB),
    "rgb in planes": (planes(RGB), {"photometric": "rgb", "planarconfig": "separate"}, RGB),
    "rgb of 16 bits": (RGB.astype(np.uint16) * 257, {"photometric": "rgb"}, RGB),
    "rgba": (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, RGB),
    "rgba, opaque": (np.dstack([RGB, GREY | 255]), {"photometric": "rgb", "extrasamples": ["assocalpha"]}, RGB),
    "rgb and more": (np.dstack([RGB, RGB]), {"photometric": "rgb", "extrasamples": ["unspecified"] * 3}, RGB),
    "grey and alpha": (np.dstack([GREY, GREY]), {"planarconfig": "contig", "extrasamples": ["unassalpha"]}, GREY),
    "grey, opaque": (np.dstack([GREY, GREY | 255]), {"planarconfig": "contig", "extrasamples": ["assocalpha"]}, GREY),
    "cmyk": (CMYK, {"photometric": "separated"}, AS_RGB),
    "cmyk of 16 bits": (CMYK.astype(np.uint16) * 257, {"photometric": "separated"}, AS_RGB),
    "cmyk in planes": (planes(CMYK), {"photometric": "separated", "planarconfig": "separate"}, AS_RGB),
    "palette": (GREY, {"photometric": "palette", "colormap": PALETTE}, (PALETTE >> 8).T[GREY]),
    "pages": (np.stack([GREY, 255 - GREY]), {"photometric": "minisblack"}, GREY),
    "tiles": (LARGE, {"photometric": "rgb", "tile": (16, 16)}, LARGE),
    "tiles in planes": (planes(LARGE), {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16)}, LARGE),
    "strips": (LARGE, {"photometric": "rgb", "rowsperstrip": 7}, LARGE),
    "ycbcr": (YCC, {"photometric": "ycbcr", "subsampling": (1, 1)}, YCC_AS_RGB),
}
SINCE_PILLOW_13 = {("grey, opaque", None), ("grey, opaque", "zlib"), ("ycbcr", None)}
LITTLE_ENDIAN: dict[str, tuple[np.ndarray, dict[str, object], np.ndarray]] = {
    "16 bits, 0 is white": (GREY_16, {"photometric": "miniswhite"}, 255 - GREY),
    "tiles of 16 bits, 0 is white": (GREY_16, {"photometric": "miniswhite", "tile": (16, 16)}, 255 - GREY),
    "bigtiff": (LARGE, {"photometric": "rgb", "bigtiff": True}, LARGE),
}
REFUSED: dict[str, tuple[np.ndarray, dict[str, object], str]] = {
    "signed 8": (GREY.view(np.int8), {"photometric": "minisblack"}, "signed samples"),
    "signed 16": ((GREY_16 >> 1).astype(np.int16), {"photometric": "minisblack"}, "signed samples"),
    "signed 16, negative": (GREY_16.view(np.int16), {"photometric": "minisblack"}, "signed samples"),
    "signed 32": (GREY_16.astype(np.int32), {"photometric": "minisblack"}, "signed samples"),
    "32 bits": (GREY_16.astype(np.uint32), {"photometric": "minisblack"}, "samples of 32 bits"),
    "float 16": ((GREY / 255).astype(np.float16), {"photometric": "minisblack"}, "float samples"),
    "float 32": ((GREY / 255).astype(np.float32), {"photometric": "minisblack"}, "float samples"),
    "float 64": (GREY / 255, {"photometric": "minisblack"}, "float samples"),
    "complex": (GREY.astype(np.complex64), {"photometric": "minisblack"}, "complex float samples"),
    "signed rgb": (RGB.view(np.int8), {"photometric": "rgb"}, "signed samples"),
    "float rgb": ((RGB / 255).astype(np.float32), {"photometric": "rgb"}, "float samples"),
    "volume": (
        np.stack([GREY, GREY]),
        {"photometric": "minisblack", "volumetric": True, "tile": (2, 16, 16)},
        "volume",
    ),
    "filter array": (GREY, {"photometric": 32803}, "of a kind that is not read"),
    "palette of 16 bits": (GREY_16, {"photometric": "palette", "colormap": np.zeros((3, 65536), "u2")}, "not read"),
    "grey and alpha of 16 bits": (np.dstack([GREY_16] * 2), {"extrasamples": ["unassalpha"]}, "not read"),
}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_what_was_written(name: str, order: str, compression: str | None) -> None:
    values, settings, expected = READ[name]
    if (name, compression) in SINCE_PILLOW_13 and not tiff_tags.PLAIN_YCBCR:
        with pytest.raises(ImageError, match=r"image_unsupported: .*(that is not read|which Pillow \S+ misreads)"):
            decode(tiff(values, byteorder=order, compression=compression, **settings))
        pytest.skip("Pillow before 13 does not read it, and it is refused")
    # libtiff's own conversion of YCbCr rounds differently
    assert_pixels(tiff(values, byteorder=order, compression=compression, **settings), expected, close=name == "ycbcr")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("name", LITTLE_ENDIAN)
def test_what_is_read_in_one_byte_order(name: str, compression: str | None) -> None:
    values, settings, expected = LITTLE_ENDIAN[name]
    assert_pixels(tiff(values, byteorder="<", compression=compression, **settings), expected)
    with pytest.raises(ImageError, match=r"image_unsupported: .* bytes of a TIFF file of a kind that is not read"):
        decode(tiff(values, byteorder=">", compression=compression, **settings))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, order: str, compression: str | None) -> None:
    values, settings, message = REFUSED[name]
    data = tiff(values, byteorder=order, compression=compression, **settings)
    with pytest.raises(ImageError, match=message) as caught:
        decode(data)
    assert caught.value.reason == "image_unsupported"


def test_planes_of_16_bits_are_read_only_as_libtiff_reads_them() -> None:
    values = planes(RGB.astype(np.uint16) * 257)
    assert_pixels(tiff(values, photometric="rgb", planarconfig="separate", compression="zlib"), RGB)
    with pytest.raises(ImageError, match="uncompressed planes of 16 bits"):
        decode(tiff(values, photometric="rgb", planarconfig="separate"))


def assert_pixels(data: bytes, expected: np.ndarray, close: bool = False) -> None:
    """The decoded pixels, from bytes and from a picture that Pillow has opened."""
    expected = np.repeat(expected[..., None], 3, 2) if expected.ndim == 2 else expected
    for picture in (decode(data), to_rgb(Image.open(io.BytesIO(data)))):
        assert np.abs(np.asarray(picture).astype(int) - expected).max() <= close
    assert read_size(data) == expected.shape[:2]


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Each row of samples of `bits` bits, filled up to whole bytes."""
    each = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in each.reshape(len(values), -1)]


@pytest.mark.parametrize("pack", [bytes, zlib.compress])
@pytest.mark.parametrize("rows", [8, 15])
def test_12_bits_keep_their_high_byte(rows: int, pack: Callable[[bytes], bytes]) -> None:
    values = (np.arange(255) * 16 + 7).reshape(15, 17)
    lines = packed(values, 12)
    strips = [pack(b"".join(lines[i : i + rows])) for i in range(0, 15, rows)]
    tags = {258: (12,), 262: (1,), 277: (1,), 278: (rows,), 259: (1 if pack is bytes else 8,)}
    assert_pixels(raw_tiff((15, 17), strips, tags), values >> 4)
    for wrong in ({262: (0,)}, {258: (12, 12, 12), 262: (2,), 277: (3,)}):
        with pytest.raises(ImageError, match="12-bit samples that are not grey with 0 for black"):
            decode(raw_tiff((15, 17), strips, tags | wrong))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(bits: int, order: str) -> None:
    most = 2**bits - 1
    values = np.random.default_rng(bits).integers(0, most + 1, (9, 13))
    strips, tags = [b"".join(packed(values, bits))], {258: (bits,), 277: (1,)}
    assert_pixels(raw_tiff((9, 13), strips, tags | {262: (1,)}, order), values * 255 // most)
    assert_pixels(raw_tiff((9, 13), strips, tags | {262: (0,)}, order), 255 - values * 255 // most)
    palette = PALETTE[:, : most + 1]
    tags |= {262: (3,), 320: tuple(map(int, palette.ravel()))}
    assert_pixels(raw_tiff((9, 13), strips, tags, order), (palette >> 8).T[values])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({258: (8,), 277: (1,)}, "no PhotometricInterpretation"),
        ({258: (8, 8, 16), 277: (3,), 262: (2,)}, "samples of 8, 8, 16 bits"),
        ({258: (8,), 277: (1,), 262: (3,), 320: tuple(range(256)) * 3}, "a palette of 8-bit numbers"),
        ({258: (8, 8, 8), 277: (3,), 262: (6,)}, "uncompressed YCbCr with fewer samples"),
        ({258: (8, 8, 8), 277: (3,), 262: (6,), 530: (2, 1)}, "uncompressed YCbCr with fewer samples"),
        ({258: (8, 8, 8, 8), 277: (4,), 262: (5,), 332: (2,)}, "inks that are not cyan"),
        ({258: (8,), 277: (1,), 262: (1,), 339: (4,)}, "undefined samples"),
    ],
)
def test_tags_that_pillow_passes_over(tags: dict[int, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ImageError, match=f"image_unsupported: TIFF with {message}"):
        decode(raw_tiff((16, 16), [CMYK.tobytes() * 2], tags))
