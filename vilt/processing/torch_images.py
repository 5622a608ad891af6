"""`ViltImageProcessorFast` and `ViTImageProcessorFast`: the published preprocessing on torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vilt.processing.features import BatchFeature
from vilt.processing.image_settings import ImageSettings, ViltImageSettings, ViTImageSettings
from vilt.processing.images import as_list, channels_last

WITHOUT_EFFECT = ("do_convert_rgb", "default_to_square", "disable_grouping")
MODES = {
    Image.Resampling.NEAREST: "nearest-exact",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
}


@dataclass
class TorchProcessor(ImageSettings):
    """Resize with torch: pixels of smooth pictures are within a level or two of Pillow's.

    Published checkpoints were trained with Pillow's pixels, and these are what predictors and jobs read.
    """

    is_fast: ClassVar[bool] = True

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
        device: torch.device | str | None = None,
        **settings: Any,
    ) -> BatchFeature:
        """Do as `PillowProcessor.preprocess` does, on tensors.

        Args:
            images: As there.
            return_tensors: "pt", or None for lists of tensors.
            data_format: "channels_first".
            input_data_format: As there.
            device: Where to work.
            **settings: The processor's own, for this call. `do_convert_rgb`, `default_to_square` and `disable_grouping`
                are taken and change nothing, as in the published class for this model.

        Returns:
            `pixel_values` and, if images are padded, `pixel_mask`.

        Raises:
            ValueError: A setting asks for what is not done here: other formats, or cropping.
        """
        for name in WITHOUT_EFFECT:
            settings.pop(name, None)
        if settings.pop("do_center_crop", None) or settings.pop("crop_size", None):
            raise ValueError("do_center_crop: whole pictures are read; crop them before")
        if data_format != "channels_first":
            raise ValueError(f"data_format {data_format!r}: the fast processor gives channels_first only")
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors {return_tensors!r} is not 'pt' or None")
        processor = self.changed(settings)
        tensors = []
        for image in as_list(images):
            array = channels_last(image, input_data_format, processor.exif_orientation)
            tensors.append(processor._transform(torch.from_numpy(array.copy()).permute(2, 0, 1).to(device)))
        masks = [torch.ones(tensor.shape[1:], dtype=torch.int64, device=tensor.device) for tensor in tensors]
        data = (
            {"pixel_values": _pad(tensors), "pixel_mask": _pad(masks)} if processor.pads else {"pixel_values": tensors}
        )
        if return_tensors is None:
            return BatchFeature(data)
        if len({tensor.shape for tensor in data["pixel_values"]}) > 1:
            raise ValueError("images of different sizes do not make one tensor: set do_pad=True")
        return BatchFeature({name: torch.stack(values) for name, values in data.items()})

    def _transform(self, image: Tensor) -> Tensor:
        """Return (C, H, W) resized, rescaled and normalised."""
        if self.do_resize:
            image = self._resize(image)
        if self.do_rescale:
            image = image.float() * self.rescale_factor
        if self.do_normalize:
            mean, std = (
                torch.tensor(value, device=image.device).reshape(-1, 1, 1)
                for value in (self.image_mean, self.image_std)
            )
            image = (image.float() - mean) / std
        return image

    def _resize(self, image: Tensor) -> Tensor:
        """Return (C, H, W) in the size of its grid. Whole numbers stay so."""
        if self.resample not in MODES:
            raise ValueError(f"resample {self.resample} is not one of {', '.join(str(int(mode)) for mode in MODES)}")
        size, mode = self.resized(*image.shape[1:]), MODES[Image.Resampling(self.resample)]
        whole = image.dtype == torch.uint8
        given = image[None] if whole and image.device.type == "cpu" else image[None].float()  # GPUs know only floats
        given = given.contiguous(memory_format=torch.channels_last)
        resized = F.interpolate(given, size, mode=mode, antialias=mode != "nearest-exact")[0]
        return resized.round().clamp(0, 255).to(torch.uint8) if whole and resized.is_floating_point() else resized


@dataclass
class ViltImageProcessorFast(ViltImageSettings, TorchProcessor):
    """ViLT's, with torch."""


@dataclass
class ViTImageProcessorFast(ViTImageSettings, TorchProcessor):
    """ViT's, with torch."""


def _pad(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Pad each with zeros to the right and below, up to the largest."""
    height, width = (max(tensor.shape[side] for tensor in tensors) for side in (-2, -1))
    return [F.pad(t, (0, width - t.shape[-1], 0, height - t.shape[-2])) for t in tensors]
