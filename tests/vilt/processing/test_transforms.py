"""Single steps of the image processors: the numbers of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import image_transforms as theirs

from vilt.processing.errors import ImageError
from vilt.processing.transforms import (
    FIRST,
    LAST,
    as_array,
    format_of,
    moved,
    normalize,
    pad,
    rescale,
    resize,
    to_uint8,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (10, 14, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "given_format", "found"),
    [
        ((3, 5, 6), None, FIRST),
        ((5, 6, 3), None, LAST),
        ((1, 5, 1), None, FIRST),
        ((2, 5, 6, 1), None, LAST),
        ((3, 5, 3), None, FIRST),
        ((3, 5, 3), LAST, LAST),
        ((4, 5, 6), FIRST, FIRST),
    ],
)
def test_where_channels_are(shape: tuple[int, ...], given_format: str | None, found: str) -> None:
    assert format_of(np.zeros(shape), given_format) == found


def test_channels_that_cannot_be_found() -> None:
    with pytest.raises(ImageError) as caught:
        format_of(np.zeros((4, 5, 6)))
    assert caught.value.reason == "image_unsupported"
    assert "an array of shape (4, 5, 6): say where its channels are, input_data_format" in str(caught.value)


def test_channels_are_moved() -> None:
    assert moved(PIXELS, None, LAST) is moved(PIXELS, LAST, LAST) is PIXELS
    first = moved(PIXELS, FIRST, LAST)
    assert first.shape == (3, 10, 14)
    assert np.array_equal(moved(first, LAST, FIRST), PIXELS)


def test_arrays_of_anything() -> None:
    for image in (PIXELS, torch.from_numpy(PIXELS), Image.fromarray(PIXELS)):
        assert np.array_equal(as_array(image), PIXELS)


@pytest.mark.parametrize(
    ("array", "pixels", "unit"),
    [
        (np.array([0, 255], np.uint8), [0, 255], False),
        (np.array([0, 255], np.int64), [0, 255], False),
        (np.array([0.0, 255.0]), [0, 255], False),
        (np.array([0.0, 0.5, 1.0]), [0, 127, 255], True),
        (np.array([0.0, 1.0]), [0, 1], False),
    ],
)
def test_pixels_as_bytes(array: np.ndarray, pixels: list[int], unit: bool) -> None:
    found, was_unit = to_uint8(array)
    assert (found.tolist(), found.dtype, was_unit) == (pixels, np.uint8, unit)


@pytest.mark.parametrize(
    "array", [np.array([-1]), np.array([256]), np.array([0.5, 1.5]), np.array([-0.1]), np.array([0.5, np.nan])]
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_pixels_of_no_range(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"pixels from .* to .*; they are 0 to 255 or, as floats, 0 to 1$"):
        to_uint8(array)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("unit", [False, True])
def test_resizing_as_transformers(channels: int, unit: bool) -> None:
    array: Any = RNG.integers(0, 256, (10, 14, channels), dtype=np.uint8)
    array = array / 255 if unit else array
    found = resize(array, 6, 9, 3)
    expected = theirs.resize(array, (6, 9), resample=3, input_data_format=LAST)
    assert (found.shape, found.dtype) == ((6, 9, channels), np.float32 if unit else np.uint8)
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-6)


def test_channels_that_cannot_be_resized() -> None:
    with pytest.raises(ImageError, match="an array of 2 channels; 1, 3 or 4 can be resized"):
        resize(np.zeros((4, 4, 2), np.uint8), 2, 2, 3)


@given(st.sampled_from([1 / 255, 0.5, 1.0]))
def test_rescaling_and_normalizing_as_transformers(scale: float) -> None:
    found = rescale(PIXELS, scale)
    np.testing.assert_array_equal(found, theirs.rescale(PIXELS, scale, input_data_format=LAST))
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    for array in (PIXELS, found):
        expected = theirs.normalize(array, mean, std, input_data_format=LAST)
        np.testing.assert_allclose(normalize(array, mean, std), expected, rtol=1e-6)
        expected = theirs.normalize(array, 0.5, 2.0, input_data_format=LAST)
        np.testing.assert_allclose(normalize(array, 0.5, 2.0), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [([0.5], 1, "mean has 1 numbers for 3 channels"), (0, [1, 2], "std has 2 numbers for 3 channels")],
)
def test_numbers_for_other_channels(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        normalize(PIXELS, mean, std)


@pytest.mark.parametrize("channels", [FIRST, LAST])
def test_padding(channels: str) -> None:
    arrays = [np.ones((2, 3, 3)), np.ones((4, 1, 3))]
    arrays = [moved(array, channels, LAST) for array in arrays]
    padded, masks = pad(arrays, 0, channels)
    shape = (3, 4, 3) if channels == FIRST else (4, 3, 3)
    assert [array.shape for array in padded] == [shape, shape]
    assert [mask.sum() for mask in masks] == [6, 4]
    for array, mask in zip(padded, masks, strict=True):
        assert np.array_equal(moved(array, LAST, channels)[..., 0], mask)
    assert masks[0].dtype == np.int64
