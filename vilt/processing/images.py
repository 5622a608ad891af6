"""The published image processors: images of any kind -> patches, or `pixel_values`, resized as Pillow does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vilt.common.tensors import is_tensor
from vilt.processing import resample as exact
from vilt.processing import transforms
from vilt.processing.features import BatchFeature
from vilt.processing.image_files.decoding import ImageInput, decode_pixels, to_rgb
from vilt.processing.image_settings import ImageSettings, ViltImageSettings, ViTImageSettings
from vilt.processing.transforms import LAST

if TYPE_CHECKING:
    pass


@dataclass
class PillowProcessor(ImageSettings):
    """The published preprocessing. Pixels are Pillow's, which the published code uses, to the last level."""

    def resize(
        self,
        image: ImageInput,
        size: dict[str, int] | None = None,
        size_divisor: int | None = None,
        resample: int | None = None,
        data_format: str | None = None,
        input_data_format: str | None = None,
    ) -> np.ndarray:
        """Resize one image.

        Args:
            image: With nothing else given, an image of any kind. With any of the others, an array.
            size: As in the settings, which it takes the place of, as do `size_divisor` and `resample`.
            size_divisor: See `size`.
            resample: See `size`.
            data_format: Where the result's channels are; by default where the image's are.
            input_data_format: Where the image's channels are; by default judged by its shape.

        Returns:
            uint8 (height, width, 3) of the size that the settings say; of an array with other arguments its own kind.

        Raises:
            ImageError: The image is none.
        """
        changes = {"size": size, "size_divisor": size_divisor, "resample": resample}
        processor = self.changed({key: value for key, value in changes.items() if value is not None})
        if size is not None or data_format is not None or input_data_format is not None:
            array = transforms.as_array(image)
            given = transforms.format_of(array, input_data_format)
            array = transforms.moved(array, LAST, given)
            out = transforms.resize(array, *processor.resized(*array.shape[:2]), processor.resample)
            return transforms.moved(out, data_format or given, LAST)
        if isinstance(image, bytes):
            image = decode_pixels(image, exif_orientation=self.exif_orientation)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
            image = to_rgb(image, self.exif_orientation)
        return exact.resize(image, *processor.resized(*exact.sides(image)), processor.resample)

    def rescale(
        self, image: np.ndarray, scale: float, data_format: str | None = None, input_data_format: str | None = None
    ) -> np.ndarray:
        """Return `image * scale`, float32; formats as in `resize`."""
        out = transforms.rescale(image, scale)
        return (
            out
            if data_format is None
            else transforms.moved(out, data_format, transforms.format_of(image, input_data_format))
        )

    def normalize(
        self,
        image: np.ndarray,
        mean: float | Collection[float],
        std: float | Collection[float],
        data_format: str | None = None,
        input_data_format: str | None = None,
    ) -> np.ndarray:
        """Return `(image - mean) / std`, floats; formats as in `resize`."""
        given = transforms.format_of(image, input_data_format)
        out = transforms.normalize(transforms.moved(image, LAST, given), mean, std)
        return transforms.moved(out, data_format or given, LAST)

    def pad(
        self,
        images: Sequence[np.ndarray],
        constant_values: float | Iterable[float] = 0,
        return_pixel_mask: bool = True,
        return_tensors: str | None = None,
        data_format: str | None = None,
        input_data_format: str | None = None,
    ) -> BatchFeature:
        """Pad images to the right and below, to the largest of them.

        Args:
            images: Arrays.
            constant_values: What they are padded with.
            return_pixel_mask: Whether to return a mask of what is real.
            return_tensors: "pt", "np", or None for lists of arrays.
            data_format: As in `resize`.
            input_data_format: As in `resize`.

        Returns:
            `pixel_values` and `pixel_mask`, int64 (H, W) each.
        """
        given = transforms.format_of(images[0], input_data_format)
        padded, masks = transforms.pad(images, constant_values, given)
        data = {"pixel_values": [transforms.moved(array, data_format, given) for array in padded]}
        return BatchFeature.of(data | ({"pixel_mask": masks} if return_pixel_mask else {}), return_tensors)

    def __call__(self, images: Any, **settings: Any) -> BatchFeature:
        """Do as `preprocess` does."""
        return self.preprocess(images, **settings)

    def preprocess(
        self,
        images: Any,
        *,
        return_tensors: str | None = None,
        data_format: str = "channels_first",
        input_data_format: str | None = None,
        **settings: Any,
    ) -> BatchFeature:
        """Resize, rescale and normalise images; pad ViLT's with zeros to the largest of them.

        Args:
            images: One image or several, in a list or, of one size, as one array (B, ...): pictures, encoded bytes, or
                numpy or torch arrays, uint8, or float between 0 and 1 with `do_rescale=False`.
            return_tensors: "pt", "np", or None for lists of arrays.
            data_format: Where the channels of `pixel_values` are.
            input_data_format: Where arrays have theirs. Without it arrays of 1 or 4 channels become RGB, as pictures
                do; with it they stay, and mean and std have a number for each.
            **settings: The processor's own, for this call.

        Returns:
            `pixel_values`, float32 (B, 3, H, W), and if images are padded `pixel_mask`, int64 (B, H, W): 1 for pixels
            that are real.

        Raises:
            ImageError: An image is none, or its values are none of the above.
        """
        processor = self.changed(settings)
        arrays = [
            processor._transform(channels_last(image, input_data_format, processor.exif_orientation))
            for image in as_list(images)
        ]
        arrays = [transforms.moved(array, data_format, LAST) for array in arrays]
        if processor.pads:
            return processor.pad(arrays, return_tensors=return_tensors, input_data_format=data_format)
        return BatchFeature.of({"pixel_values": arrays}, return_tensors)

    def _transform(self, array: np.ndarray) -> np.ndarray:
        """Return (H, W, C) resized, rescaled and normalised."""
        if self.do_resize and array.shape[2] == 3:
            pixels, unit = transforms.to_uint8(array)
            array = self.resize(pixels)
            array = transforms.rescale(array, 1 / 255) if unit else array
        elif self.do_resize:
            array = transforms.resize(array, *self.resized(*array.shape[:2]), self.resample)
        if self.do_rescale:
            array = transforms.rescale(array, self.rescale_factor)
        return transforms.normalize(array, self.image_mean, self.image_std) if self.do_normalize else array


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
    """Return one image, several, or one array of several as several."""
    many = isinstance(images, list | tuple) or (
        (isinstance(images, np.ndarray) or is_tensor(images)) and images.ndim == 4
    )
    return images if many else [images]


def channels_last(image: Any, data_format: str | None, exif_orientation: bool) -> np.ndarray:
    """Return an image of any kind as (H, W, C).

    Args:
        image: If an array could have its channels first or last, they come first, as published.
        data_format: What the caller says of arrays; they keep their channels then, and become RGB otherwise.
        exif_orientation: Set encoded images upright.
    """
    if not (isinstance(image, np.ndarray) or is_tensor(image)) or image.ndim == 2:
        return np.asarray(to_rgb(transforms.as_array(image) if is_tensor(image) else image, exif_orientation))
    array = transforms.as_array(image)
    if data_format is not None:
        return transforms.moved(array, LAST, transforms.format_of(array, data_format))
    array = array.transpose(1, 2, 0) if array.shape[0] in (1, 3) else array
    if array.shape[2] == 1:
        return np.repeat(array, 3, 2)
    return array[..., :3] if array.shape[2] == 4 else array
