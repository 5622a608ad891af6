"""Encoded bytes, arrays and pictures -> RGB pictures, or the reason why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

ImageInput = Image.Image | np.ndarray | bytes
MAX_PIXELS = 178_956_970  # twice Pillow's warning threshold: where Pillow itself calls a picture a bomb


class ImageError(ValueError):
    """An image that cannot be scored: `reason` is one of a short list, `detail` says more.

    Reasons: image_corrupt, image_truncated, image_unsupported, image_bomb (too many pixels), image_aspect.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def read_size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width in pixels from the header of encoded bytes; nothing is decoded. Raises `ImageError`."""
    picture = _open(data, max_pixels)
    return picture.height, picture.width


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Encoded bytes -> RGB picture; of an animation the first frame. Raises `ImageError`.

    The number of pixels is checked from the header, before any is decoded. A picture whose data end early is an
    error, never half a picture.
    """
    picture = _open(data, max_pixels)
    try:
        return to_rgb(picture)
    except Exception as error:  # decoders raise many types on hostile data
        text = f"{type(error).__name__}: {error}"
        cut = "truncated" in text.lower() or "unexpected end" in text.lower() or isinstance(error, EOFError)
        raise ImageError("image_truncated" if cut else "image_corrupt", text) from None


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning: `max_pixels` decides
            picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageError("image_bomb", str(error)) from None
    except UnidentifiedImageError:
        kind = f"{len(data)} bytes are no image format that is known" if data else "the image is empty: 0 bytes"
        raise ImageError("image_unsupported", kind) from None
    except Exception as error:  # parsers raise many types on hostile headers
        raise ImageError("image_corrupt", f"{type(error).__name__}: {error}") from None
    if picture.width * picture.height > max_pixels:
        size = f"{picture.width}x{picture.height} pixels"
        raise ImageError("image_bomb", f"{size}, more than the {max_pixels} allowed")
    return picture


def to_rgb(image: ImageInput) -> Image.Image:
    """A picture, a uint8 array (H, W, 3) or (H, W), or encoded bytes -> RGB picture. Raises `ImageError`."""
    if isinstance(image, bytes):
        return decode(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
            raise ImageError(
                "image_unsupported",
                f"an array of {image.dtype} and shape {image.shape}; an image is uint8 (H, W, 3), (H, W, 4) or (H, W)",
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise ImageError(
            "image_unsupported", f"a {type(image).__name__}; an image is a PIL image, a uint8 array or encoded bytes"
        )
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")
