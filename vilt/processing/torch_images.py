"""`ViltImageProcessorFast` and `ViTImageProcessorFast`: the published preprocessing on torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vilt.common.outputs import Batch
from vilt.processing.images import ImageSettings, ViltImageSettings, ViTImageSettings, as_list, channels_last

MODES = {
    Image.Resampling.NEAREST: "nearest-exact",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
}


@dataclass
class TorchProcessor(ImageSettings):
    """Resizes with torch: of smooth pictures within a level or two of Pillow.

    Published checkpoints were trained with Pillow's pixels, and these are what predictors and jobs read.
    """

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
        device: torch.device | str | None = None,
        do_convert_rgb: bool | None = None,
        default_to_square: bool | None = None,
        do_center_crop: bool | None = None,
        crop_size: dict[str, int] | None = None,
        disable_grouping: bool | None = None,
        **settings: Any,
    ) -> Batch:
        """As `PillowProcessor.preprocess`, but a list of tensors where `return_tensors` is not "pt". device: where to
        work. Pictures are always converted to RGB, and never cropped; `do_convert_rgb`, `default_to_square` and
        `disable_grouping` are taken and change nothing, as in the published class for this model.
        """
        del do_convert_rgb, default_to_square, disable_grouping
        if do_center_crop or crop_size:
            raise ValueError("do_center_crop: whole pictures are read; crop them before")
        if data_format != "channels_first":
            raise ValueError(f"data_format {data_format!r}: the fast processor gives channels_first only")
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors {return_tensors!r} is not 'pt' or None")
        own = self.changed(settings)
        tensors = []
        for image in as_list(images):
            array = channels_last(image, input_data_format, own.exif_orientation)
            tensors.append(own._transform(torch.from_numpy(array.copy()).permute(2, 0, 1).to(device)))
        masks = [torch.ones(tensor.shape[1:], dtype=torch.int64, device=tensor.device) for tensor in tensors]
        data = {"pixel_values": _pad(tensors), "pixel_mask": _pad(masks)} if own.pads else {"pixel_values": tensors}
        if return_tensors is None:
            return Batch(data)
        if len({tensor.shape for tensor in data["pixel_values"]}) > 1:
            raise ValueError("images of different sizes do not make one tensor: set do_pad=True")
        return Batch({name: torch.stack(values) for name, values in data.items()})

    def _transform(self, image: Tensor) -> Tensor:
        """(3, H, W) -> the same, resized, rescaled and normalised."""
        if self.do_resize:
            image = self._resize(image)
        if self.do_rescale:
            image = image.float() * self.rescale_factor
        if self.do_normalize:
            mean, std = (torch.tensor(v, device=image.device)[:, None, None] for v in (self.image_mean, self.image_std))
            image = (image.float() - mean) / std
        return image

    def _resize(self, image: Tensor) -> Tensor:
        """(3, H, W) -> the size of its grid. Whole numbers stay so."""
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
    """Zeros to the right of and below each, up to the largest."""
    height, width = (max(tensor.shape[side] for tensor in tensors) for side in (-2, -1))
    return [F.pad(t, (0, width - t.shape[-1], 0, height - t.shape[-2])) for t in tensors]
