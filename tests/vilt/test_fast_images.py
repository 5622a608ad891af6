"""Resizing with torch: an option that is faster than the published preprocessing, and close to it."""

import numpy as np
import pytest

from benchmarks import coco
from vilt import Predictor, ViltImageProcessor, ViltImageProcessorFast


def test_resizing_photographs_is_within_two_levels_of_pillow() -> None:
    for data in coco.pictures(13):
        exact, fast = ViltImageProcessor().resize(data), ViltImageProcessorFast().resize(data)
        assert fast.dtype == np.uint8
        assert np.abs(exact.astype(int) - fast).max() <= 2


def test_an_unknown_way_to_resize() -> None:
    with pytest.raises(ValueError, match="resize 'nearest' is not one of pillow, torch"):
        Predictor.from_pretrained("zoo://scenes", resize="nearest")
