"""The resize rule: the size of an image decides its grid of patches; nothing else does.

Source: `MinMaxResize` in `vilt/transforms/utils.py` of dandelin/ViLT, as `get_resize_output_image_size` in
transformers states it. The arithmetic is kept operation by operation: a reordered product rounds differently.
"""

from __future__ import annotations

from typing import NamedTuple


class Grid(NamedTuple):
    """Rows and columns of patches."""

    rows: int
    cols: int

    @property
    def patches(self) -> int:
        """Patches in the grid."""
        return self.rows * self.cols


class NoGridError(ValueError):
    """The image is so long and thin that its short side would vanish."""


def resized(height: int, width: int, shortest_edge: int = 384, size_divisor: int = 32) -> tuple[int, int]:
    """Return the height and width in pixels that an image of `height` x `width` pixels is resized to.

    The short side becomes `shortest_edge`; the long side is capped at int(1333 / 800 * shortest_edge); both are
    floored to a multiple of `size_divisor`.

    Raises:
        NoGridError: A side is floored to nothing (at the published 384 / 32: aspect ratios above about 20.3).
    """
    longest = int(1333 / 800 * shortest_edge)
    scale = shortest_edge / min(height, width)
    if height < width:
        new_height, new_width = float(shortest_edge), scale * width
    else:
        new_height, new_width = scale * height, float(shortest_edge)
    if max(new_height, new_width) > longest:
        scale = longest / max(new_height, new_width)
        new_height, new_width = scale * new_height, scale * new_width
    new_height = int(new_height + 0.5) // size_divisor * size_divisor
    new_width = int(new_width + 0.5) // size_divisor * size_divisor
    if not new_height or not new_width:
        raise NoGridError(f"an image of {width}x{height} pixels is too long and thin: no grid of patches fits it")
    return new_height, new_width


def grid_of(height: int, width: int, shortest_edge: int = 384, size_divisor: int = 32, patch_size: int = 32) -> Grid:
    """Return the grid of an image of `height` x `width` pixels. Raises `NoGridError` as `resized` does."""
    new_height, new_width = resized(height, width, shortest_edge, size_divisor)
    return Grid(new_height // patch_size, new_width // patch_size)
