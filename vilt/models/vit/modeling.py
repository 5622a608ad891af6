"""ViT, with the module tree of published checkpoints: an image's patches, read by a transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.model_outputs import BaseModelOutputWithPooling, ImageClassifierOutput, MaskedImageModelingOutput
from vilt.common.patch_config import both
from vilt.models.attention import head_masks
from vilt.models.layers import Encoder, Pooler, PreNormLayer, cross_entropy
from vilt.models.pretrained import PreTrainedModel
from vilt.models.vit.configuration import ViTConfig


class ViTPatchEmbeddings(nn.Module):
    """A linear map of every patch."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.image_size, self.patch_size = both(config.image_size), both(config.patch_size)
        self.num_channels = config.num_channels
        self.num_patches = config.table_grid[0] * config.table_grid[1]
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, self.patch_size, self.patch_size)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """(B, C, H, W) -> (B, N, D), row by row. Raises ValueError for images that the model does not read."""
        _, channels, *size = pixel_values.shape
        if channels != self.num_channels:
            raise ValueError(f"pixel_values: {channels} channels; the model reads {self.num_channels}")
        if not interpolate_pos_encoding and tuple(size) != self.image_size:
            height, width = self.image_size
            raise ValueError(
                f"pixel_values: {size[0]}x{size[1]} pixels; the model reads {height}x{width}, and other sizes with "
                "interpolate_pos_encoding=True"
            )
        patches: Tensor = self.projection(pixel_values)
        return patches.flatten(2).transpose(1, 2)


class ViTEmbeddings(nn.Module):
    """[CLS] and the patches, with their positions.

    Args:
        config: The model's.
        use_mask_token: Whether there is a vector that stands for a masked patch.
    """

    def __init__(self, config: ViTConfig, use_mask_token: bool = False) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, config.hidden_size))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size)) if use_mask_token else None
        self.patch_embeddings = ViTPatchEmbeddings(config)
        positions = self.patch_embeddings.num_patches + 1
        self.position_embeddings = nn.Parameter(torch.randn(1, positions, config.hidden_size))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.table_grid = config.table_grid

    def positions(self, rows: int, cols: int) -> Tensor:
        """Return the position table, (1, 1 + rows * cols, D), resized to an image's grid."""
        if (rows, cols) == self.table_grid:
            return self.position_embeddings
        table = self.position_embeddings[:, 1:].unflatten(1, self.table_grid).permute(0, 3, 1, 2)
        resized = F.interpolate(table, (rows, cols), mode="bicubic", align_corners=False)  # (1, D, rows, cols)
        return torch.cat([self.position_embeddings[:, :1], resized.flatten(2).transpose(1, 2)], 1)

    def forward(
        self, pixel_values: Tensor, bool_masked_pos: Tensor | None = None, interpolate_pos_encoding: bool = False
    ) -> Tensor:
        """(B, C, H, W) -> (B, 1 + N, D); see `ViTModel.forward`."""
        x = self.patch_embeddings(pixel_values, interpolate_pos_encoding)
        if bool_masked_pos is not None:
            if self.mask_token is None:
                raise ValueError("bool_masked_pos: the model has no mask token; make it with use_mask_token=True")
            x = torch.where(bool_masked_pos.bool()[:, :, None], self.mask_token, x)
        height, width = self.patch_embeddings.patch_size
        rows, cols = pixel_values.shape[-2] // height, pixel_values.shape[-1] // width
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.positions(rows, cols)
        return self.dropout(x)


class ViTLayer(PreNormLayer):
    """One block; returns the tokens alone unless attention is asked for."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See `PreNormLayer.forward`."""
        out, weights = super().forward(*args, **kwargs)
        return out if weights is None else (out, weights)


class ViTPreTrainedModel(PreTrainedModel):
    """The base of the classes of ViT."""

    config: ViTConfig
    config_class = ViTConfig
    base_model_prefix = "vit"
    main_input_name = "pixel_values"
    _no_split_modules: ClassVar[list[str]] = ["ViTEmbeddings", "ViTLayer"]

    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.zeros_(module.bias)
            nn.init.ones_(module.weight)
        elif isinstance(module, ViTEmbeddings):
            nn.init.trunc_normal_(module.position_embeddings, std=std)
            nn.init.trunc_normal_(module.cls_token, std=std)
            if module.mask_token is not None:
                nn.init.zeros_(module.mask_token)


class ViTModel(ViTPreTrainedModel):
    """ViT without a head.

    Args:
        config: The model's.
        add_pooling_layer: Whether [CLS] is pooled.
        use_mask_token: Whether there is a vector that stands for a masked patch.
    """

    def __init__(self, config: ViTConfig, add_pooling_layer: bool = True, use_mask_token: bool = False) -> None:
        super().__init__(config)
        self.embeddings = ViTEmbeddings(config, use_mask_token)
        self.encoder = Encoder(config, ViTLayer)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        width = config.pooler_output_size or config.hidden_size
        self.pooler = Pooler(config.hidden_size, width, config.pooler_act) if add_pooling_layer else None
        self.post_init()

    @classmethod
    def options_of(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return whether a checkpoint has a pooler and a mask token."""
        return {
            "add_pooling_layer": any(name.endswith("pooler.dense.weight") for name in tensors),
            "use_mask_token": any(name.endswith("embeddings.mask_token") for name in tensors),
        }

    def get_input_embeddings(self) -> ViTPatchEmbeddings:
        """Return what embeds patches."""
        return self.embeddings.patch_embeddings

    def forward(
        self,
        pixel_values: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Read images.

        Args:
            pixel_values: Float (B, C, H, W), normalised.
            bool_masked_pos: (B, N), nonzero where a patch is masked.
            head_mask: A factor for each head, (heads,) or (layers, heads).
            output_attentions: Whether every layer's attention is returned.
            output_hidden_states: Whether every layer's output is returned.
            interpolate_pos_encoding: Take images of other sizes than `config.image_size`, with the position table
                resized.
            return_dict: Whether named values are returned, not a tuple.

        Returns:
            `BaseModelOutputWithPooling`, with hidden states (B, 1 + N, D): [CLS], then the patches row by row.

        Raises:
            ValueError: An input is missing or does not fit the model.
        """
        if pixel_values is None:
            raise ValueError("pixel_values: missing")
        config = self.config
        pixel_values = pixel_values.to(self.embeddings.patch_embeddings.projection.weight.dtype)
        x = self.embeddings(pixel_values, bool_masked_pos, bool(interpolate_pos_encoding))
        encoded = self.encoder(
            x,
            None,
            head_masks(head_mask, config.num_hidden_layers, x.dtype),
            config.output_attentions if output_attentions is None else output_attentions,
            config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        hidden = self.layernorm(encoded.last_hidden_state)
        pooled = None if self.pooler is None else self.pooler(hidden)
        out = BaseModelOutputWithPooling(hidden, pooled, encoded.hidden_states, encoded.attentions)
        return self.finish(out, return_dict)


class ViTForImageClassification(ViTPreTrainedModel):
    """ViT with a classifier of [CLS] as it is: logits (B, classes)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels) if config.num_labels else nn.Identity()
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        head_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Classify images; inputs as `ViTModel.forward`, `labels`: see `classification_loss`."""
        encoded = self.vit(
            pixel_values,
            None,
            head_mask,
            output_attentions,
            output_hidden_states,
            interpolate_pos_encoding,
            return_dict=True,
        )
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        return self.finish(ImageClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class ViTForMaskedImageModeling(ViTPreTrainedModel):
    """ViT with a decoder of pixels (SimMIM, arXiv 2111.09886): reconstruction (B, C, H, W)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.vit = ViTModel(config, add_pooling_layer=False, use_mask_token=True)
        stride = config.encoder_stride
        self.decoder = nn.Sequential(
            nn.Conv2d(config.hidden_size, stride**2 * config.num_channels, kernel_size=1), nn.PixelShuffle(stride)
        )
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Rebuild images; with `bool_masked_pos` also the loss, L1 over masked pixels. Inputs as `ViTModel.forward`."""
        config, patch = self.config, both(self.config.patch_size)
        if bool_masked_pos is not None and patch != both(config.encoder_stride):
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
        grid = (pixel_values.shape[-2] // patch[0], pixel_values.shape[-1] // patch[1])
        states = encoded.last_hidden_state[:, 1:].mT.unflatten(2, grid)  # (B, D, rows, cols)
        pixels, loss = self.decoder(states), None
        if bool_masked_pos is not None:
            masked = bool_masked_pos.view(-1, *grid).to(pixels)
            mask = masked.repeat_interleave(patch[0], 1).repeat_interleave(patch[1], 2)[:, None]  # (B, 1, H, W)
            wrong = F.l1_loss(pixel_values, pixels, reduction="none") * mask
            loss = wrong.sum() / (mask.sum() + 1e-5) / config.num_channels
        out = MaskedImageModelingOutput(loss, pixels, encoded.hidden_states, encoded.attentions)
        return self.finish(out, return_dict)


def classification_loss(logits: Tensor, labels: Tensor, config: ViTConfig) -> Tensor:
    """Return the loss of a classifier by `config.problem_type`, which the first labels set when it is None.

    Mean square error for one label; cross entropy for labels int64 (B,); binary cross entropy for labels (B, classes).
    """
    labels = labels.to(logits.device)
    if config.problem_type is None:
        whole = not labels.is_floating_point()
        several = "single_label_classification" if whole else "multi_label_classification"
        config.problem_type = "regression" if config.num_labels == 1 else several
    if config.problem_type == "regression":
        return F.mse_loss(logits.squeeze(), labels.squeeze()) if config.num_labels == 1 else F.mse_loss(logits, labels)
    if config.problem_type == "single_label_classification":
        return cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels)
