"""JPEG: libjpeg-turbo by itself and by way of Pillow have one outcome, the same pixels or the same reason."""

import os
import random

import numpy as np
import pytest
from PIL import Image

from tests.faults.test_fuzz_images import mutated
from tests.vilt.processing.files import every_format, noise, saved
from vilt.processing.errors import ImageError
from vilt.processing.image_files import decoding, jpeg
from vilt.processing.image_files.decoding import decode, decode_pixels, read_size
from vilt.processing.images import ViltImageProcessor
from vilt.processing.resample import resize

CASES = int(os.environ.get("FUZZ_CASES", "300")) * 5
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
SETTINGS: list[dict[str, object]] = [
    {},
    {"progressive": True},
    {"quality": 5, "subsampling": 2},
    {"quality": 98, "subsampling": 0},
    {"subsampling": 1},
    {"optimize": True},
    {"restart_marker_blocks": 2},
    {"restart_marker_rows": 1, "progressive": True},
    {"exif": EXIF},
    {"comment": b"hello"},
]


def picture(height: int, width: int) -> Image.Image:
    """Noise on smooth colours."""
    smooth = Image.fromarray(noise(height // 8 + 1, width // 8 + 1, 1)).resize((width, height))
    return Image.blend(Image.fromarray(noise(height, width)), smooth, 0.7)


def good_files() -> list[bytes]:
    sizes = ((40, 48), (17, 33), (8, 8), (1, 1), (61, 97), (300, 7))
    files = [
        saved(picture(*size).convert(mode), "JPEG", **s) for size in sizes for mode in ("RGB", "L") for s in SETTINGS
    ]
    return [*files, saved(picture(40, 48), "JPEG", keep_rgb=True), saved(picture(40, 48).convert("CMYK"), "JPEG")]


def outcome(data: bytes) -> tuple[str, bytes]:
    """ "fast" or "Pillow" with the pixels, or "error" with the reason."""
    try:
        found = decode_pixels(data, 2_000_000)
    except ImageError as error:
        return "error", error.reason.encode()
    if isinstance(found, Image.Image):
        return "Pillow", found.tobytes()
    assert found.shape[:2] == read_size(data)
    return "fast", found.tobytes()


def both(data: bytes) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """The outcome, and that of Pillow alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "decode_rgb", lambda *_: None)
        alone = outcome(data)
    return outcome(data), alone


def test_good_files_take_the_fast_way() -> None:
    assert jpeg.same_pixels()
    for data in good_files():
        fast, alone = both(data)
        assert fast[1] == alone[1]
        assert (fast[0], alone[0]) == ("Pillow" if jpeg.read_header(data).components == 4 else "fast", "Pillow")


def test_damaged_files_have_one_outcome() -> None:
    rng, files, seen = random.Random(7), good_files(), {"fast": 0, "Pillow": 0, "error": 0}
    for _ in range(CASES):
        data = rng.choice(files)
        if rng.random() < 0.4:  # damage to the pixels, of which some leaves a picture
            at = rng.randrange(jpeg.read_header(data).scan, len(data))
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        else:
            data = mutated(data, rng)
        (how, what), (_, expected) = both(data)
        assert what == expected, (how, len(data))
        seen[how] += 1
    assert min(seen.values()) > CASES / 100, seen


def test_pictures_decoded_by_either_are_resized_alike() -> None:
    data, processor = saved(picture(480, 640), "JPEG"), ViltImageProcessor()
    assert np.array_equal(processor.resize(data), processor.resize(decode(data)))
    pixels = decode_pixels(data)
    assert isinstance(pixels, np.ndarray)
    for kind in range(6):
        assert np.array_equal(resize(pixels, 100, 90, kind), resize(decode(data), 100, 90, kind))


def test_an_orientation_is_kept_for_who_asks() -> None:
    data = every_format()["jpeg exif"]
    assert jpeg.read_header(data).tagged
    assert read_size(data) == (40, 48)
    assert read_size(data, exif_orientation=True) == (48, 40)
    assert decode(data).getexif()[0x0112] == 6
    assert decode(data, exif_orientation=True).size == (40, 48)


def test_another_library_with_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(40, 48), "JPEG")
    monkeypatch.setattr(jpeg, "same_pixels", lambda: False)
    assert outcome(data)[0] == "Pillow"


def test_pixels_are_counted_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding.Image, "open", lambda *_, **__: pytest.fail("opened by Pillow"))
    data = saved(picture(40, 48), "JPEG")
    for read in (read_size, decode):
        with pytest.raises(ImageError, match="image_bomb: 48x40 pixels, more than the 1000 allowed"):
            read(data, 1000)  # type: ignore[operator]
