"""Images: encoded bytes -> RGB -> uint8 of its grid's size -> patches, or padded `pixel_values` and `pixel_mask`."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vilt.grids import NoGridError, resized
from vilt.storage import Folder

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


def patchify(image: np.ndarray, patch_size: int) -> np.ndarray:
    """(H, W, 3) -> (rows * cols, patch_size * patch_size * 3): each patch a row, pixels row by row, channels last."""
    rows, cols = image.shape[0] // patch_size, image.shape[1] // patch_size
    image = image[: rows * patch_size, : cols * patch_size]
    return image.reshape(rows, patch_size, cols, patch_size, 3).swapaxes(1, 2).reshape(rows * cols, -1)


def patchify_pixels(pixel_values: Tensor, patch_size: int) -> Tensor:
    """(B, 3, H, W) -> (B, rows, cols, patch_size * patch_size * 3), in the order of `patchify`."""
    rows, cols = (side // patch_size for side in pixel_values.shape[-2:])
    cut = pixel_values[..., : rows * patch_size, : cols * patch_size]
    tiles = cut.unflatten(3, (cols, patch_size)).unflatten(2, (rows, patch_size))  # (B, 3, rows, p, cols, p)
    return tiles.permute(0, 2, 4, 3, 5, 1).flatten(3)


@dataclass
class ViltImageProcessor:
    """The published preprocessing, key by key as in `preprocessor_config.json`.

    Resizes with Pillow's bicubic filter, as the published code does, so pixels are the same to the last level.
    """

    size: dict[str, int] = field(default_factory=lambda: {"shortest_edge": 384})
    size_divisor: int = 32
    image_mean: Sequence[float] = (0.5, 0.5, 0.5)
    image_std: Sequence[float] = (0.5, 0.5, 0.5)
    rescale_factor: float = 1 / 255

    def __post_init__(self) -> None:
        if isinstance(self.size, int):  # older files
            self.size = {"shortest_edge": self.size}
        if "shortest_edge" not in self.size:
            raise ValueError(f"size {self.size!r} has no 'shortest_edge'")

    @classmethod
    def from_pretrained(cls, uri: str) -> ViltImageProcessor:
        """Read `preprocessor_config.json` from a folder or any URI that fsspec opens."""
        values = Folder(uri).read_json("preprocessor_config.json")
        return cls(**{key: values[key] for key in cls.__dataclass_fields__ if values.get(key) is not None})

    def save_pretrained(self, folder: str) -> None:
        """Write `preprocessor_config.json` into `folder`."""
        steps: dict[str, Any] = dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_pad"), True)
        values = {**steps, **asdict(self), "image_processor_type": "ViltImageProcessor", "resample": 3}
        Folder(folder).write("preprocessor_config.json", json.dumps(values, indent=2, sort_keys=True) + "\n")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this size is resized to. Raises `ImageError` where no grid fits."""
        try:
            return resized(height, width, self.size["shortest_edge"], self.size_divisor)
        except NoGridError as error:
            raise ImageError("image_aspect", str(error)) from None

    def resize(self, image: ImageInput) -> np.ndarray:
        """An image of any kind -> uint8 (height, width, 3) of its grid's size. Raises `ImageError`."""
        picture = to_rgb(image)
        height, width = self.resized(picture.height, picture.width)
        return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> dict[str, Tensor]:
        """One or many images -> `pixel_values` float32 (B, 3, H, W), normalised and padded with zeros to the largest,
        and `pixel_mask` int64 (B, H, W), 1 where a pixel is real."""
        many = [images] if isinstance(images, Image.Image | np.ndarray | bytes) else images
        mean, std = (torch.tensor(tuple(value))[:, None, None] for value in (self.image_mean, self.image_std))
        arrays = [torch.from_numpy(self.resize(image).copy()).permute(2, 0, 1) for image in many]
        height, width = (max(a.shape[side] for a in arrays) for side in (1, 2))
        pixel_values = torch.zeros(len(arrays), 3, height, width)
        pixel_mask = torch.zeros(len(arrays), height, width, dtype=torch.int64)
        for i, array in enumerate(arrays):
            pixel_values[i, :, : array.shape[1], : array.shape[2]] = (array * self.rescale_factor - mean) / std
            pixel_mask[i, : array.shape[1], : array.shape[2]] = 1
        return {"pixel_values": pixel_values, "pixel_mask": pixel_mask}
