"""JPEG 2000 files: where the codestream is and ends, and samples that are not read."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.vilt.processing.files import noise, saved
from vilt.processing.errors import EndsEarlyError, ImageError
from vilt.processing.image_files.decoding import decode, to_rgb
from vilt.processing.image_files.jpeg2000 import BOXES, CODESTREAM, check, codestream

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


RGB = noise(16, 16)


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


BARE, BOXED = (saved(RGB, "JPEG2000", no_jp2=bare) for bare in (True, False))


def test_where_the_codestream_is() -> None:
    assert codestream(BARE) == (0, len(BARE))
    begin, end = codestream(BOXED)
    assert BOXED[begin : begin + 4] == CODESTREAM
    assert (BOXED[begin - 4 : begin], end) == (b"jp2c", len(BOXED))
    at = begin - 8
    long = BOXED[:at] + struct.pack(">I4sQ", 1, b"jp2c", 16 + end - begin) + BOXED[begin:]
    assert codestream(long) == (begin + 8, len(long))
    endless = BOXED[:at] + struct.pack(">I4s", 0, b"jp2c") + BOXED[begin:]
    assert codestream(endless) == (begin, len(endless))


@pytest.mark.parametrize("data", [BARE, BOXED])
def test_a_file_that_ends_early_is_seen(data: bytes) -> None:
    check(data)
    for size in range(0, len(data) - 1, 7):
        with pytest.raises(EndsEarlyError):
            check(data[:size])


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (BOXES + struct.pack(">I4s", 4, b"junk") + bytes(9), "image_corrupt", "a box of 4 bytes"),
        (
            BOXES + struct.pack(">I4s", 0, b"jp2c") + bytes(99),
            "image_corrupt",
            "a JPEG 2000 file whose codestream does not begin with its size",
        ),
        (BOXES + struct.pack(">I4s", 8, b"free") * 100_001, "image_slow", "100000 boxes"),
    ],
)
def test_boxes_that_are_wrong(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        check(data)
    assert caught.value.reason == reason
