"""Decoding with a deadline: the same pixels, or a reason, whatever becomes of the process that decodes."""

import io
import os
import signal

import numpy as np
import pytest
from PIL import Image

from vilt.processing.errors import ImageError
from vilt.processing.image_files import killable
from vilt.processing.image_files.decoding import decode, decode_pixels

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


def encoded(picture: Image.Image, kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def test_pixels_reasons_and_deadlines() -> None:
    """In one test, and one process that decodes: each takes a second to start."""
    data = encoded(NOISE, "TIFF", compression="tiff_lzw")
    assert np.array_equal(np.asarray(decode_pixels(data, seconds=60)), np.asarray(decode(data)))
    assert killable._decoder is not None
    process = killable._decoder[1]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(NOISE, "AVIF", exif=exif)
    assert decode_pixels(turned, exif_orientation=True, seconds=60).size == (60, 80)  # type: ignore[union-attr]
    with pytest.raises(ImageError, match="image_bomb: 80x60 pixels, more than the 100 allowed"):
        killable.decode_within(data, 100, False, 60)
    damaged = bytearray(data)
    damaged[200:4000] = bytes(3800)
    with pytest.raises(ImageError, match=r"image_(corrupt|truncated)"):
        decode_pixels(bytes(damaged), seconds=60)
    assert killable._decoder[1] is process, "an error ends no process"
    large = encoded(Image.new("RGB", (4000, 4000)), "AVIF", speed=10)
    with pytest.raises(ImageError, match=r"image_slow: decoding took more than 0\.001 seconds of a core \(limits\.dec"):
        decode_pixels(large, seconds=0.001)
    assert process.wait(10) == -signal.SIGPROF
    assert decode_pixels(large, seconds=60).size == (4000, 4000)  # type: ignore[union-attr]
    os.kill(killable._decoder[1].pid, signal.SIGSEGV)
    killable._decoder[1].wait(10)
    assert np.array_equal(np.asarray(decode_pixels(data, seconds=60)), np.asarray(decode(data)))
