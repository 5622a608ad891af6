"""Single steps of the published image processors, on arrays of any number of channels.

The arithmetic is that of transformers' `image_transforms`, operation by operation, so that numbers are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from vilt.common.tensors import is_tensor
from vilt.processing.errors import ImageError

FIRST, LAST = "channels_first", "channels_last"


def as_array(image: Any) -> np.ndarray:
    """Return an array, tensor or picture as an array."""
    return image.numpy(force=True) if is_tensor(image) else np.asarray(image)


def format_of(array: np.ndarray, data_format: str | None = None) -> str:
    """Return "channels_first" or "channels_last".

    Args:
        array: (H, W, C), (C, H, W), or several of them.
        data_format: What the caller says; None to tell from the shape: 1 or 3 channels, which come first if they could
            be either.

    Raises:
        ImageError: No side has 1 or 3 channels, and the caller does not say which has.
    """
    if data_format is not None:
        return str(getattr(data_format, "value", data_format))
    if array.shape[-3] in (1, 3):
        return FIRST
    if array.shape[-1] in (1, 3):
        return LAST
    raise ImageError(
        "image_unsupported", f"an array of shape {array.shape}: say where its channels are, input_data_format"
    )


def moved(array: np.ndarray, wanted: str | None, given: str) -> np.ndarray:
    """Return the array with its channels where they are wanted; None leaves them."""
    wanted = str(getattr(wanted, "value", wanted)) if wanted is not None else given
    if wanted == given:
        return array
    return array.transpose(2, 0, 1) if wanted == FIRST else array.transpose(1, 2, 0)


def to_uint8(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return pixels as uint8, and whether they were between 0 and 1. Raises `ImageError` for other ranges."""
    if array.dtype == np.uint8:
        return array, False
    unit = not np.allclose(array, array.astype(int))
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= (1 if unit else 255):  # which a NaN is not
        raise ImageError(
            "image_unsupported", f"pixels from {low:g} to {high:g}; they are 0 to 255 or, as floats, 0 to 1"
        )
    return (array * 255 if unit else array).astype(np.uint8), unit


def resize(array: np.ndarray, height: int, width: int, resample: int) -> np.ndarray:
    """Resize (H, W, C) of 1, 3 or 4 channels with Pillow, uint8 or floats between 0 and 1.

    Raises:
        ImageError: There are other values or channels.
    """
    pixels, unit = to_uint8(array)
    if array.shape[2] not in (1, 3, 4):
        raise ImageError("image_unsupported", f"an array of {array.shape[2]} channels; 1, 3 or 4 can be resized")
    picture = Image.fromarray(pixels[..., 0] if array.shape[2] == 1 else pixels)
    out = np.asarray(picture.resize((width, height), Image.Resampling(resample)))
    out = out[..., None] if out.ndim == 2 else out
    return rescale(out, 1 / 255) if unit else out


def rescale(array: np.ndarray, scale: float) -> np.ndarray:
    """Return `array * scale` as float32."""
    return (array.astype(np.float64) * scale).astype(np.float32)


def normalize(array: np.ndarray, mean: float | Collection[float], std: float | Collection[float]) -> np.ndarray:
    """Return `(array - mean) / std`, (H, W, C); integers become float32.

    Raises:
        ValueError: `mean` or `std` are not one number for each channel.
    """
    array = array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)
    values = []
    for name, value in (("mean", mean), ("std", std)):
        each = list(value) if isinstance(value, Collection) else [value] * array.shape[2]
        if len(each) != array.shape[2]:
            raise ValueError(f"{name} has {len(each)} numbers for {array.shape[2]} channels")
        values.append(np.array(each, dtype=array.dtype))
    out: np.ndarray = (array - values[0]) / values[1]
    return out


def pad(
    arrays: Sequence[np.ndarray], value: float | Iterable[float], channels: str
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pad to the right and below, to the largest.

    Returns:
        The arrays, and of each a mask, int64 (H, W): 1 for pixels that are real.
    """
    rows, cols = (-2, -1) if channels == FIRST else (-3, -2)
    height, width = (max(array.shape[side] for array in arrays) for side in (rows, cols))
    padded, masks = [], []
    for array in arrays:
        room = [(0, 0)] * 3
        room[rows], room[cols] = (0, height - array.shape[rows]), (0, width - array.shape[cols])
        fill: Any = value if np.isscalar(value) else tuple(value)  # type: ignore[arg-type]
        padded.append(np.pad(array, room, constant_values=fill))
        mask = np.zeros((height, width), np.int64)
        mask[: array.shape[rows], : array.shape[cols]] = 1
        masks.append(mask)
    return padded, masks
