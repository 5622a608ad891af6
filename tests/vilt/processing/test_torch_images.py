"""The fast processors, which resize with torch, are close to the published preprocessing."""

from typing import Any

import numpy as np
import pytest

from benchmarks import coco
from vilt import ViltImageProcessor, ViltImageProcessorFast, ViTImageProcessor, ViTImageProcessorFast
from vilt.processing.image_files.decoding import decode

PLAIN = {"do_rescale": False, "do_normalize": False}


@pytest.mark.parametrize(
    ("exact", "fast"), [(ViltImageProcessor, ViltImageProcessorFast), (ViTImageProcessor, ViTImageProcessorFast)]
)
def test_resizing_photographs_is_within_two_levels_of_pillow(exact: Any, fast: Any) -> None:
    for picture in map(decode, coco.pictures(13)):
        first, second = (kind(**PLAIN)(picture, return_tensors="pt")["pixel_values"] for kind in (exact, fast))
        assert np.abs(np.asarray(first[0], dtype=int) - np.asarray(second[0], dtype=int)).max() <= 2
