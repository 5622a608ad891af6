"""Images: RGB picture -> uint8 of its grid's size -> patches, or `pixel_values`. The published image processors of ViLT
and ViT differ in the size that they resize to, and ViLT's pads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import Tensor
from typing_extensions import Self

from vilt.common.outputs import Batch
from vilt.common.storage import Folder, Source, as_folder
from vilt.processing import resample
from vilt.processing.decoding import ImageError, ImageInput, decode_pixels, to_rgb
from vilt.processing.grids import NoGridError, resized


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
class ImageSettings:
    """What the published image processors have in common, key by key as in `preprocessor_config.json`.

    resample: a Pillow filter, 2 bilinear, 3 bicubic. image_mean, image_std: a number for each channel, or one for all.
    exif_orientation, which published files do not have: set pictures upright by their EXIF tag, see
    `vilt.processing.decoding.to_rgb`.
    """

    sides: ClassVar[tuple[str, ...]]  # the keys of `size`

    do_resize: bool = True
    size: dict[str, int] = field(default_factory=dict)
    resample: int = Image.Resampling.BICUBIC
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: Sequence[float] = (0.5, 0.5, 0.5)
    image_std: Sequence[float] = (0.5, 0.5, 0.5)
    exif_orientation: bool = False

    def __post_init__(self) -> None:
        for own in fields(self):
            if getattr(self, own.name) is None:  # as the published code takes it: the default
                setattr(self, own.name, own.default if own.default_factory is MISSING else own.default_factory())
        if isinstance(self.size, int):  # older files
            self.size = dict.fromkeys(self.sides, self.size)
        for side in self.sides:
            if side not in self.size:
                raise ValueError(f"size {self.size!r} has no {side!r}")
        for name in ("image_mean", "image_std"):
            if isinstance(value := getattr(self, name), int | float):
                setattr(self, name, (float(value),) * 3)

    @classmethod
    def from_pretrained(cls, uri: Source, **changes: Any) -> Self:
        """Read `preprocessor_config.json` from a folder or any URI that fsspec opens; `changes` go over it."""
        values = {**as_folder(uri).read_json("preprocessor_config.json"), **changes}
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def save_pretrained(self, folder: str) -> None:
        """Write `preprocessor_config.json` into `folder`."""
        values = {**asdict(self), "resample": int(self.resample), "image_processor_type": type(self).__name__}
        Folder(folder).write("preprocessor_config.json", json.dumps(values, indent=2, sort_keys=True) + "\n")

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """The same processor with other settings for one call; None changes nothing. Raises for unknown names."""
        unknown = settings.keys() - {f.name for f in fields(self)}
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(map(repr, sorted(unknown)))}")
        return replace(self, **{key: value for key, value in settings.items() if value is not None})

    def affine(self) -> tuple[Sequence[float], Sequence[float], float]:
        """Mean, standard deviation and rescale factor that turn a pixel x into (x * rescale - mean) / std."""
        channels = len(self.image_mean)
        mean = self.image_mean if self.do_normalize else [0.0] * channels
        std = self.image_std if self.do_normalize else [1.0] * channels
        return mean, std, self.rescale_factor if self.do_rescale else 1.0

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this size is resized to. Raises `ImageError` where none fits."""
        raise NotImplementedError

    @property
    def pads(self) -> bool:
        """Whether images are padded to one size, with a mask of what is real."""
        return False


@dataclass
class ViltImageSettings(ImageSettings):
    """ViLT's: the short side is resized to `size`, the long one in proportion; both to multiples of `size_divisor`."""

    sides: ClassVar[tuple[str, ...]] = ("shortest_edge",)

    size: dict[str, int] = field(default_factory=lambda: {"shortest_edge": 384})
    size_divisor: int = 32
    do_pad: bool = True

    @property
    def pads(self) -> bool:
        """As `do_pad` says."""
        return self.do_pad

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """See `vilt.processing.grids`."""
        try:
            return resized(height, width, self.size["shortest_edge"], self.size_divisor)
        except NoGridError as error:
            raise ImageError("image_aspect", str(error)) from None


@dataclass
class ViTImageSettings(ImageSettings):
    """ViT's: every image is resized to one size, whatever its shape. do_convert_rgb: taken for published files; images
    become RGB in any case."""

    sides: ClassVar[tuple[str, ...]] = ("height", "width")

    size: dict[str, int] = field(default_factory=lambda: {"height": 224, "width": 224})
    resample: int = Image.Resampling.BILINEAR
    do_convert_rgb: bool | None = None

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The one size."""
        del height, width
        return self.size["height"], self.size["width"]


@dataclass
class PillowProcessor(ImageSettings):
    """The published preprocessing. Resizes as Pillow does, which the published code uses: pixels are the same to the
    last level."""

    def resize(self, image: ImageInput) -> np.ndarray:
        """An image of any kind -> uint8 (height, width, 3) of its grid's size. Raises `ImageError`."""
        if isinstance(image, bytes):
            image = decode_pixels(image, exif_orientation=self.exif_orientation)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (4,):
            image = to_rgb(image, self.exif_orientation)
        rows, cols = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
        return resample.resize(image, *self.resized(rows, cols), self.resample)

    def __call__(self, images: Any, **settings: Any) -> Batch:
        """The same as `preprocess`."""
        return self.preprocess(images, **settings)

    def preprocess(
        self,
        images: Any,
        *,
        return_tensors: str | None = None,
        data_format: str = "channels_first",
        input_data_format: str | None = None,
        **settings: Any,
    ) -> Batch:
        """One image or several -> `pixel_values` float32 (B, 3, H, W) and, where images are padded, `pixel_mask` int64
        (B, H, W).

        Images are pictures, encoded bytes, or numpy or torch arrays (channels first or last, uint8, or float between
        0 and 1 with `do_rescale=False`), in a list or, of one size, as one array (B, ...). Each is resized, rescaled
        and normalised; with `do_pad` ViLT's are padded with zeros to the largest; the mask is 1 where a pixel is real.
        `settings` are the processor's own, for this call. `return_tensors`: "pt", "np", or None for lists of arrays.
        Raises `ImageError`.
        """
        own = self.changed(settings)
        arrays = [
            own._transform(channels_last(image, input_data_format, own.exif_orientation)) for image in as_list(images)
        ]
        data: dict[str, list[np.ndarray]] = {"pixel_values": arrays}
        if own.pads:
            height, width = (max(array.shape[side] for array in arrays) for side in (0, 1))
            room = [((0, height - a.shape[0]), (0, width - a.shape[1])) for a in arrays]
            data["pixel_values"] = [np.pad(a, (*space, (0, 0))) for a, space in zip(arrays, room, strict=True)]
            masks = [np.ones(a.shape[:2], np.int64) for a in arrays]
            data["pixel_mask"] = [np.pad(mask, space) for mask, space in zip(masks, room, strict=True)]
        if data_format == "channels_first":
            data["pixel_values"] = [a.transpose(2, 0, 1) for a in data["pixel_values"]]
        return Batch.of(data, return_tensors)

    def _transform(self, array: np.ndarray) -> np.ndarray:
        """(H, W, C) -> the same, resized, rescaled and normalised."""
        if self.do_resize:
            as_uint8, unit = _to_uint8(array)
            array = self.resize(as_uint8)
            if unit:
                array = (array * (1 / 255)).astype(np.float32)
        if self.do_rescale:
            array = (array * self.rescale_factor).astype(np.float32)
        if self.do_normalize:
            mean, std = (np.array(value, dtype=np.float32) for value in (self.image_mean, self.image_std))
            array = (array.astype(np.float32) - mean) / std
        return array


@dataclass
class ViltImageProcessor(ViltImageSettings, PillowProcessor):
    """ViLT's, with Pillow."""


@dataclass
class ViTImageProcessor(ViTImageSettings, PillowProcessor):
    """ViT's, with Pillow."""


class ViltFeatureExtractor(ViltImageProcessor):
    """The older published name of `ViltImageProcessor`."""


class ViTFeatureExtractor(ViTImageProcessor):
    """The older published name of `ViTImageProcessor`."""


def as_list(images: Any) -> Sequence[Any]:
    """One image, several, or one array of several -> several."""
    many = isinstance(images, list | tuple) or (isinstance(images, np.ndarray | Tensor) and images.ndim == 4)
    return images if many else [images]


def channels_last(image: Any, data_format: str | None, exif_orientation: bool) -> np.ndarray:
    """An image of any kind -> (H, W, C). Where an array could be either, channels come first, as published."""
    if not isinstance(image, np.ndarray | Tensor) or image.ndim == 2:
        return np.asarray(to_rgb(np.asarray(image) if isinstance(image, Tensor) else image, exif_orientation))
    array = image.numpy(force=True) if isinstance(image, Tensor) else image
    first = data_format == "channels_first" if data_format else array.shape[0] in (1, 3)
    return array.transpose(1, 2, 0) if first else array


def _to_uint8(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """Pixels as uint8 for Pillow, and whether they were between 0 and 1. Raises `ImageError` for other ranges."""
    if array.dtype == np.uint8:
        return array, False
    unit = not np.allclose(array, array.astype(int))
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > (1 if unit else 255):
        raise ImageError(
            "image_unsupported", f"pixels from {low:g} to {high:g}; they are 0 to 255 or, as floats, 0 to 1"
        )
    return (array * 255 if unit else array).astype(np.uint8), unit
