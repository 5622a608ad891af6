"""Pillow's resize, number for number, in a tenth of its time.

Source of the rule: `ImagingResample` in Pillow's `src/libImaging/Resample.c`. Every output pixel is a weighted sum of
source pixels with weights in whole multiples of 2**-22, rounded to 8 bits, in one direction and then in the other.
Sums of integers do not depend on their order, so `vilt.processing.resample_code` takes them as a CPU likes best.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from vilt.processing import resample_code

BITS = 22  # of a weight's fraction
BLOCK = 16  # columns that are written at a time
NARROWEST = 8  # columns of a picture that is resized as it is; narrower ones are widened with zeros
LARGE = 2**24  # pixels: of a larger picture no copy is made
# Which direction is first: Pillow 13 begins down if more than twice as many rows as columns go away, and across
# otherwise; earlier releases always begin across. Found by trying, over thousands of sizes.
CHOOSES = int(PIL.__version__.partition(".")[0]) >= 13


def _bilinear(x: np.ndarray) -> np.ndarray:
    return np.where(x < 1, 1 - x, 0.0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    a = -0.5
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


FILTERS: dict[int, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {  # (support in source pixels, of |distance|)
    Image.Resampling.BILINEAR: (1.0, _bilinear),
    Image.Resampling.BICUBIC: (2.0, _bicubic),
}


class Weights(NamedTuple):
    """What the new pixels of one direction are made of.

    Attributes:
        first: The first pair of source pixels of each new pixel, int64 (size,): pair i is pixels 2 i and 2 i + 1.
        pairs: How many pairs, int64 (size,).
        values: Their weights times 2**22, int16 (size, most pairs, 2, 2): the multiples of 256 of both pixels, and then
            what is left. Zeros beyond the last pair.
    """

    first: np.ndarray
    pairs: np.ndarray
    values: np.ndarray


def resize(picture: Image.Image | np.ndarray, height: int, width: int, resample: int) -> np.ndarray:
    """Resize as `picture.resize((width, height), resample)` does.

    Args:
        picture: An RGB picture, or its pixels as uint8 (H, W, 3).
        height: Of the result, in pixels.
        width: The same.
        resample: One of `PIL.Image.Resampling`.

    Returns:
        uint8 (height, width, 3).
    """
    if _left_to_pillow(picture, resample):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        return np.asarray(picture.resize((width, height), Image.Resampling(resample)))
    padded = -(-width // BLOCK) * BLOCK
    out = np.empty((height, padded, 3), np.uint8)
    row_offsets, column_offsets = np.arange(height) * (3 * padded), np.arange(0, 3 * padded, 3 * BLOCK)
    _resize_into(out, row_offsets, column_offsets, np.asarray(picture), (height, width), resample)
    return out if padded == width else np.ascontiguousarray(out[:, :width])


def resize_to_patches(
    picture: Image.Image | np.ndarray, height: int, width: int, resample: int, patch_size: int
) -> np.ndarray:
    """Resize as `resize` does, and cut the result into patches.

    Args:
        picture: As in `resize`.
        height: Of the resized picture; what is beyond the last whole patch is left out.
        width: The same.
        resample: As in `resize`.
        patch_size: Pixels of a patch's side.

    Returns:
        uint8 (rows * cols, patch_size * patch_size * 3): each patch a row, pixels row by row, channels last.
    """
    whole = not (patch_size % BLOCK or height % patch_size or width % patch_size)
    if not whole or _left_to_pillow(picture, resample):
        return patchify(resize(picture, height, width, resample), patch_size)
    out = np.empty((height * width // patch_size**2, 3 * patch_size**2), np.uint8)
    y, x = np.arange(height), np.arange(0, width, BLOCK)
    row_offsets = y // patch_size * (width // patch_size * out.shape[1]) + y % patch_size * (3 * patch_size)
    column_offsets = x // patch_size * out.shape[1] + x % patch_size * 3
    _resize_into(out, row_offsets, column_offsets, np.asarray(picture), (height, width), resample)
    return out


def patchify(image: np.ndarray, patch_size: int) -> np.ndarray:
    """Return an image's patches.

    Args:
        image: (H, W, 3).
        patch_size: Pixels of a patch's side.

    Returns:
        (rows * cols, patch_size * patch_size * 3): each patch a row, pixels row by row, channels last.
    """
    rows, cols = image.shape[0] // patch_size, image.shape[1] // patch_size
    image = image[: rows * patch_size, : cols * patch_size]
    return image.reshape(rows, patch_size, cols, patch_size, 3).swapaxes(1, 2).reshape(rows * cols, -1)


def sides(picture: Image.Image | np.ndarray) -> tuple[int, int]:
    """Return height and width in pixels."""
    return (picture.height, picture.width) if isinstance(picture, Image.Image) else picture.shape[:2]


def _left_to_pillow(picture: Image.Image | np.ndarray, resample: int) -> bool:
    """Return whether the filter is another, or the pixels would be copied for a large picture."""
    rows, cols = sides(picture)
    return resample not in FILTERS or (isinstance(picture, Image.Image) and rows * cols > LARGE)


def _resize_into(
    out: np.ndarray,
    row_offsets: np.ndarray,
    column_offsets: np.ndarray,
    pixels: np.ndarray,
    size: tuple[int, int],
    resample: int,
) -> None:
    """Resize (H, W, 3).

    Args:
        out: uint8.
        row_offsets: Bytes from its begin to each new row, int64 (height,).
        column_offsets: Bytes from there to each 16 columns, int64.
        pixels: What is resized.
        size: The new height and width.
        resample: The filter.
    """
    rows, cols = pixels.shape[:2]
    if CHOOSES and cols != size[1] and max(rows - size[0], 0) > 2 * max(cols - size[1], 0):  # down, then across
        pixels, rows = resize(pixels, size[0], cols, resample), size[0]
    pixels = np.ascontiguousarray(pixels)
    across, down = paired_weights(cols, size[1], resample), paired_weights(rows, size[0], resample)
    if cols < NARROWEST:
        pixels = np.pad(pixels, ((0, 0), (0, NARROWEST - cols), (0, 0)))
        cols = NARROWEST
    vectors = across.values.shape[1]
    band = np.empty((cols // 2 + 1 + vectors, 32), np.int16)
    ring_rows = 1 << int(down.pairs.max() + 1).bit_length()  # two more than a new row needs, and a power of two
    ring = np.empty((ring_rows, 4 * BLOCK * len(column_offsets), 2), np.int16)
    numbers = {
        "pixels": pixels.ctypes.data,
        "height": rows,
        "width": cols,
        "band": band.ctypes.data,
        "ring": ring.ctypes.data,
        "ring_bytes": ring.strides[0],
        "ring_mask": ring_rows - 1,
        "new_width": size[1],
        "left": across.first.ctypes.data,
        "vectors": vectors,
        "across": across.values.ctypes.data,
        "new_height": size[0],
        "top": down.first.ctypes.data,
        "pairs": down.pairs.ctypes.data,
        "most_pairs": down.values.shape[1],
        "down": down.values.ctypes.data,
        "out": out.ctypes.data,
        "row_offsets": row_offsets.ctypes.data,
        "blocks": len(column_offsets),
        "block_offsets": column_offsets.ctypes.data,
    }
    arguments = np.array([numbers[name] for name in resample_code.ARGUMENTS], np.int64)
    resample_code.function()(arguments.ctypes.data)


@lru_cache(maxsize=1024)  # of 5 to 50 kB each: tables of the web have pictures of very many sizes
def paired_weights(size: int, new_size: int, resample: int) -> Weights:
    """Return the weights from `size` to `new_size` pixels."""
    first, count, weight = weights(size, new_size, resample)
    pairs = (first % 2 + count + 1) // 2
    values = np.zeros((new_size, 2 * int(pairs.max())), np.int32)
    taps = np.arange(weight.shape[1])
    at = (first % 2)[:, None] + taps
    used = taps < count[:, None]
    values[np.nonzero(used)[0], at[used]] = weight[used]
    halves = np.stack([values >> 8, values & 255], axis=-1).astype(np.int16).reshape(new_size, -1, 2, 2)
    return Weights((first // 2).astype(np.int64), pairs.astype(np.int64), np.ascontiguousarray(halves.swapaxes(2, 3)))


def weights(size: int, new_size: int, resample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which source pixels each new pixel is made of. The arithmetic is Pillow's, operation by operation.

    Returns:
        The first of the `size` source pixels and how many they are, int32 (new_size,) each, and their weights times
        2**22, int32 (new_size, most).
    """
    support, weight = FILTERS[resample]
    scale = size / new_size
    stretch = max(scale, 1.0)
    support *= stretch
    centre = (np.arange(new_size) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int32), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int32), size) - first
    offset = np.arange(count.max())
    values = weight(np.abs((offset + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch)))
    values[offset >= count[:, None]] = 0.0
    total = np.add.accumulate(values, axis=1)[:, -1:]  # one after the other, as a loop does
    whole = values / total * (1 << BITS)
    return first, count, np.trunc(whole + np.where(whole < 0, -0.5, 0.5)).astype(np.int32)
