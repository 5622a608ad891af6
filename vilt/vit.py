"""ViT: one transformer over an image's patches; the model, its heads, and the published classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.backbone import Backbone
from vilt.configuration import ViTConfig
from vilt.embeddings import ImageEmbeddings
from vilt.grids import Grid
from vilt.heads import Head, cross_entropy
from vilt.outputs import EncoderOutput, HeadOutput, MaskedImageOutput
from vilt.packing import Packed, Pairs, Put, as_tensor
from vilt.pretrained import PretrainedModel
from vilt.scores import sigmoid, softmax


class ViTModel(Backbone):
    """ViT without a head. use_mask_token: whether it knows the vector that stands for a masked patch."""

    config: ViTConfig
    config_class = ViTConfig

    def __init__(self, config: ViTConfig, add_pooling_layer: bool = True, use_mask_token: bool = False) -> None:
        super().__init__(config, add_pooling_layer)
        self.image = ImageEmbeddings(config, mode="bicubic", align_corners=False)
        self.mask = nn.Parameter(torch.zeros(config.hidden_size)) if use_mask_token else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    @classmethod
    def options(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Pooler and mask token where the checkpoint has them."""
        return {**super().options(tensors), "use_mask_token": "embeddings.mask_token" in tensors}

    def forward(
        self,
        pixel_values: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Images -> hidden states (B, 1 + N, D): [CLS], then the patches row by row.

        pixel_values: float (B, C, H, W), normalised. bool_masked_pos: (B, N), nonzero where a patch is masked.
        head_mask: (heads,) or (layers, heads). interpolate_pos_encoding: take images of other sizes than
        `config.image_size`, with the position table resized. Raises ValueError for inputs that do not fit.
        """
        if pixel_values is None:
            raise ValueError("pixel_values: missing")
        self._check(pixel_values, bool(interpolate_pos_encoding))
        patches = self.image.patches(pixel_values, self.config.patch_size)  # (B, rows, cols, D)
        grid = Grid(*patches.shape[1:3])
        x = patches.flatten(1, 2)
        if bool_masked_pos is not None:
            if self.mask is None:
                raise ValueError("bool_masked_pos: the model has no mask token; make it with use_mask_token=True")
            x = torch.where(bool_masked_pos.bool()[:, :, None], self.mask, x)
        first = self.image.first().expand(len(x), 1, -1)
        x = self.dropout(torch.cat([first, x + self.image.positions(grid)], 1))
        return self.encode(x, None, head_mask, output_attentions, output_hidden_states, return_dict)

    def _check(self, pixel_values: Tensor, any_size: bool) -> None:
        _, channels, height, width = pixel_values.shape
        config = self.config
        if channels != config.num_channels:
            raise ValueError(f"pixel_values: {channels} channels; the model reads {config.num_channels}")
        if not any_size and (height, width) != (config.image_size, config.image_size):
            raise ValueError(
                f"pixel_values: {height}x{width} pixels; the model reads {config.image_size}x{config.image_size}, and "
                "other sizes with interpolate_pos_encoding=True"
            )

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """The images of `pairs` -> (1 + patches, D): [CLS], which all images share, then every patch with its position.

        Positions are resized to an image's grid where it is not the table's.
        """
        tables = {grid: self.image.positions(grid) for grid in dict.fromkeys(pairs.grids)}
        patches = projection(put(pairs.patches).to(self.image.cls.device))
        return torch.cat([self.image.first(), patches + torch.cat([tables[grid] for grid in pairs.grids])])

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """Images alone: no text has a token."""
        return batch.fill(images[:0], images)


class ImageClassHead(Head, nn.Linear):
    """A logit for every class of an image; reads [CLS] as it is, without the pooler."""

    name, reads = "classifier", "cls"

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config.hidden_size, config.num_labels)
        self.problem = config.extra.get("problem_type")

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """By `config.problem_type`; where it is not set, mean square error for one label, cross entropy for labels
        int64 (B,), binary cross entropy for labels float (B, classes)."""
        problem = self.problem or _problem(logits, labels)
        if problem == "regression":
            return F.mse_loss(logits.squeeze(), labels.squeeze())
        if problem == "single_label_classification":
            return cross_entropy(logits, labels)
        return F.binary_cross_entropy_with_logits(logits, labels)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities: of one class each or, of a model for several labels an image, of each class alone."""
        return sigmoid(logits) if self.problem == "multi_label_classification" else softmax(logits)


def _problem(logits: Tensor, labels: Tensor) -> str:
    if logits.shape[-1] == 1:
        return "regression"
    whole = not labels.is_floating_point()
    return "single_label_classification" if whole else "multi_label_classification"


class PixelsHead(Head, nn.Sequential):
    """Pixels again, from the last state of every patch (SimMIM, arXiv 2111.09886)."""

    name = "decoder"

    def __init__(self, config: ViTConfig) -> None:
        stride = config.encoder_stride
        super().__init__(nn.Conv2d(config.hidden_size, stride**2 * config.num_channels, 1), nn.PixelShuffle(stride))

    def masked_loss(self, pixels: Tensor, reconstruction: Tensor, masked: Tensor, patch_size: int) -> Tensor:
        """pixels, reconstruction (B, C, H, W), masked (B, rows, cols): L1, the mean over masked patches' pixels."""
        mask = masked.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)[:, None]  # (B, 1, H, W)
        wrong = F.l1_loss(pixels, reconstruction, reduction="none") * mask
        return wrong.sum() / (mask.sum() + 1e-5) / pixels.shape[1]


class ViTWithHead(PretrainedModel):
    """`ViTModel` without pooler and one head: the base of the published classes."""

    config: ViTConfig
    config_class = ViTConfig
    head_class: ClassVar[type[Head]]
    head: Head
    masked: ClassVar[bool] = False

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.vit = ViTModel(config, add_pooling_layer=False, use_mask_token=self.masked)
        self.head = self.head_class(config)

    def parts(self) -> tuple[ViTModel, dict[str, nn.Module]]:
        """The model and its one head."""
        return self.vit, {self.head_class.name: self.head}


class ViTForImageClassification(ViTWithHead):
    """ViT with `ImageClassHead`: logits (B, classes)."""

    head_class = ImageClassHead

    def forward(
        self,
        pixel_values: Tensor | None = None,
        head_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Inputs as `ViTModel.forward`; labels as `ImageClassHead.loss`."""
        encoded = self.vit(
            pixel_values,
            None,
            head_mask,
            output_attentions,
            output_hidden_states,
            interpolate_pos_encoding,
            return_dict=True,
        )
        logits = self.head(encoded.last_hidden_state[:, 0])
        loss = None if labels is None else self.head.loss(logits, labels)
        return self.finish(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class ViTForMaskedImageModeling(ViTWithHead):
    """ViT with `PixelsHead`: reconstruction (B, C, H, W)."""

    head: PixelsHead
    head_class, masked = PixelsHead, True

    def forward(
        self,
        pixel_values: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> MaskedImageOutput | tuple[Any, ...]:
        """Inputs as `ViTModel.forward`; images are square. With `bool_masked_pos`, the loss over the masked patches."""
        config = self.config
        if bool_masked_pos is not None and config.patch_size != config.encoder_stride:
            raise ValueError(
                f"bool_masked_pos: the loss needs encoder_stride {config.encoder_stride} to be patch_size "
                f"{config.patch_size}, or the image would come back in another size"
            )
        encoded = self.vit(
            pixel_values,
            bool_masked_pos,
            head_mask,
            output_attentions,
            output_hidden_states,
            interpolate_pos_encoding,
            return_dict=True,
        )
        assert pixel_values is not None  # or the model has raised
        grid = tuple(side // config.patch_size for side in pixel_values.shape[-2:])
        states = encoded.last_hidden_state[:, 1:].mT.unflatten(2, grid)  # (B, D, rows, cols)
        pixels, loss = self.head(states), None
        if bool_masked_pos is not None:
            masked = bool_masked_pos.view(-1, *grid).to(pixels)
            loss = self.head.masked_loss(pixel_values, pixels, masked, config.patch_size)
        return self.finish(MaskedImageOutput(loss, pixels, encoded.hidden_states, encoded.attentions), return_dict)


def vit_heads_in(tensors: Mapping[str, Tensor], config: ViTConfig) -> dict[str, nn.Module]:
    """Fresh heads, by task: `classify` where the checkpoint holds a classifier; `embed`, which hands on the pooled
    [CLS] or, without a pooler, [CLS] as it is."""
    found: dict[str, nn.Module] = {"embed": nn.Identity()}
    shape = (config.num_labels, config.hidden_size)
    if "classifier.weight" in tensors and tensors["classifier.weight"].shape == shape:
        found["classify"] = ImageClassHead(config)
    return found
