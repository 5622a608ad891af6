"""The resize rule, against transformers' and against its published properties."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.models.vilt.image_processing_vilt import get_resize_output_image_size

from vilt.processing.grids import Grid, NoGridError, grid_of, resized

SIDES = st.integers(1, 4000)


@given(SIDES, SIDES, st.sampled_from((128, 224, 384, 800)), st.sampled_from((16, 32)))
@example(480, 640, 384, 32)
@example(1333, 800, 384, 32)
def test_the_same_size_as_transformers(height: int, width: int, shortest: int, divisor: int) -> None:
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    expected = get_resize_output_image_size(image, shortest, int(1333 / 800 * shortest), divisor, "channels_last")
    try:
        assert resized(height, width, shortest, divisor) == expected
    except NoGridError:
        assert 0 in expected


def test_coco_sizes() -> None:
    assert grid_of(480, 640) == Grid(12, 16)
    assert grid_of(640, 480) == Grid(16, 12)


def test_there_are_37_grids_of_at_most_228_patches() -> None:
    grids = set()
    for short in range(20, 401):
        for long in range(short, short * 20, max(1, short // 60)):
            grids |= {grid_of(short, long), grid_of(long, short)}
    assert len(grids) == 37
    assert max(grid.patches for grid in grids) == 228
    assert sum(min(grid) == 12 for grid in grids) == 15


@pytest.mark.parametrize(("height", "width"), [(30, 640), (900, 20), (1, 4000)])
def test_long_and_thin_has_no_grid(height: int, width: int) -> None:
    with pytest.raises(NoGridError, match=f"{width}x{height}"):
        resized(height, width)
