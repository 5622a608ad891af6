"""PBM, PGM and PPM files: any white, headers as anybody writes them, and ends that come early."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.vilt.processing.files import noise
from vilt.processing.errors import EndsEarlyError, ImageError
from vilt.processing.image_files.decoding import decode, to_rgb
from vilt.processing.image_files.pnm import Header, ends_early, is_pnm, read_header
from vilt.processing.image_files.pnm import decode as decode_pnm

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


RGB = noise(16, 16)


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


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b"P6 4 3 255\n", Header(b"P6", 4, 3, 255, 11)),
        (b"P5#c\n4\t3\r\n7 ", Header(b"P5", 4, 3, 7, 12)),
        (b"P4\n# one\n# two\r4 3\n", Header(b"P4", 4, 3, 1, 19)),
        (b"P1 0004 3 0101", Header(b"P1", 4, 3, 1, 10)),
        (b"P6 4 x 255\n", None),
        (b"P6 4 12345678901 255\n", None),
    ],
)
def test_headers(data: bytes, header: Header | None) -> None:
    assert is_pnm(data)
    assert read_header(data) == header


@pytest.mark.parametrize("data", [b"P7 1 1", b"P6x", b"PNG", b"", b"P", b"6P 4 3"])
def test_what_is_none(data: bytes) -> None:
    assert not is_pnm(data)


@pytest.mark.parametrize("data", [b"P6", b"P6 4", b"P6 4 3 255", b"P5 # no end of the line", b"P1\n4 3"])
def test_headers_that_end_early(data: bytes) -> None:
    with pytest.raises(EndsEarlyError):
        read_header(data)
    assert ends_early(data)


@pytest.mark.parametrize(
    ("data", "early"),
    [
        (b"P1 2 2 0 1 1 0", False),
        (b"P1 2 2 0110", False),
        (b"P1 2 2 0 1 1 # 0 0", True),
        (b"P2 2 2 9 1 2 3 4", False),
        (b"P2 2 2 9 1 2 3", True),
        (b"P3 1 1 9 1 2", True),
        (b"P3 1 1 9 1 2 3", False),
        (b"P5 2 2 9 ", False),
    ],
)
def test_numbers_as_text_that_end_early(data: bytes, early: bool) -> None:
    """Of binary pixels the decoder itself says so."""
    assert ends_early(data) is early


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P6 " + b"#" * 100_001 + b"\n1 1 255\n", "100000 bytes of header"),
        (b"P2 1 1 9 " + b"1 " * 2**22, f"{8 * 2**20} bytes of numbers as text"),
        (b"P2 1 1 9 1" + b"#\n" * 1001, "1000 comments"),
    ],
)
def test_files_that_are_made_to_take_long(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_header(data)
    assert caught.value.reason == "image_slow"


def test_pixels_that_pillow_reads_as_fast() -> None:
    for head in (b"P6 1 1 255\n", b"P5 1 1 65535\n", b"P4 1 1\n"):
        header = read_header(head)
        assert header is not None
        assert decode_pnm(head + b"\0" * 6, header) is None
