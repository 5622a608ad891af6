"""Resizing is Pillow's, number for number, whatever the sizes."""

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vilt.processing import resample, resample_code
from vilt.processing.resample import patchify, resize, resize_to_patches

SIDES = st.integers(1, 300)


def noise(height: int, width: int, seed: int, two_colours: bool = False) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(np.where(pixels > 127, 255, 0).astype(np.uint8) if two_colours else pixels)


def same_as_pillow(picture: Image.Image, height: int, width: int, kind: int) -> bool:
    found = resize(picture, height, width, kind)
    assert (found.dtype, found.shape) == (np.uint8, (height, width, 3))
    return np.array_equal(found, np.asarray(picture.resize((width, height), Image.Resampling(kind))))


@settings(deadline=None)  # the first call compiles
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([0, 1, 2, 3, 4, 5]), st.booleans())
def test_any_size_to_any_other(height: int, width: int, to_height: int, to_width: int, kind: int, hard: bool) -> None:
    assert same_as_pillow(noise(height, width, 0, hard), to_height, to_width, kind)


@pytest.mark.parametrize(
    ("size", "new_size"),
    [
        ((480, 640), (384, 512)),
        ((640, 480), (512, 384)),
        ((1500, 500), (608, 192)),
        ((200, 300), (384, 576)),
        ((480, 640), (224, 224)),
        ((480, 640), (480, 320)),
        ((480, 640), (240, 640)),
        ((480, 640), (480, 640)),
    ],
)
@pytest.mark.parametrize("kind", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_sizes_of_the_models(size: tuple[int, int], new_size: tuple[int, int], kind: int) -> None:
    assert same_as_pillow(noise(*size, 1), *new_size, kind)


def test_large_pictures_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "LARGE", 100)
    monkeypatch.setattr(resample_code, "function", lambda: pytest.fail("took the fast way"))
    assert same_as_pillow(noise(20, 30, 2), 10, 15, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("features", ["", "+avx2", "+avx2,+avxvnni"])
def test_cpus_with_less_give_the_same(features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = resample_code.compiled("x86-64", features) if platform.machine() == "x86_64" else resample_code.function()
    monkeypatch.setattr(resample_code, "function", lambda: code)
    for size in ((480, 640), (61, 35), (300, 8), (5, 3)):
        for new_size in ((384, 512), (50, 49)):
            assert same_as_pillow(noise(*size, 3, two_colours=True), *new_size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("patch_size", [16, 32, 20])
def test_patches_are_those_of_the_resized_picture(patch_size: int) -> None:
    for size in ((480, 640), (61, 35), (640, 100)):  # the last is resized down first
        picture = noise(*size, 4)
        for kind in (Image.Resampling.BICUBIC, Image.Resampling.NEAREST):
            expected = patchify(resize(picture, 192, 160, kind), patch_size)
            assert np.array_equal(resize_to_patches(picture, 192, 160, kind, patch_size), expected)
            assert np.array_equal(resize_to_patches(np.asarray(picture), 192, 160, kind, patch_size), expected)
