"""ViLT without heads, with the module tree of published checkpoints: texts and images, read by one transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vilt.common.counts import counted
from vilt.common.folder import Folder
from vilt.common.model_outputs import BaseModelOutputWithPooling
from vilt.models.attention import additive, head_masks
from vilt.models.layers import Encoder, Pooler, PreNormLayer, one_of
from vilt.models.pretrained import PreTrainedModel
from vilt.models.vilt import original
from vilt.models.vilt.configuration import ViltConfig

TEXT, IMAGE = 0, 1  # rows of the modality table


class TextEmbeddings(nn.Module):
    """BERT's: word + position + token type, then a norm."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Ids int64 (B, T), or their embeddings (B, T, D) -> (B, T, D); token types are 0 when not given."""
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            position_ids = torch.arange(words.shape[1], device=words.device)[None]
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        x = words + self.token_type_embeddings(token_type_ids) + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(x))


class ViltPatchEmbeddings(nn.Module):
    """A linear map of every patch."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.num_channels = config.num_channels
        self.num_patches = config.table_grid[0] * config.table_grid[1]
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, config.patch_size, config.patch_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, rows, cols)."""
        if pixel_values.shape[1] != self.num_channels:
            raise ValueError(f"pixel_values: {pixel_values.shape[1]} channels; the model reads {self.num_channels}")
        patches: Tensor = self.projection(pixel_values.to(self.projection.weight.dtype))
        return patches


class ViltEmbeddings(nn.Module):
    """Texts and images side by side, each with its modality."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.config = config
        self.text_embeddings = TextEmbeddings(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.patch_embeddings = ViltPatchEmbeddings(config)
        positions = self.patch_embeddings.num_patches + 1
        self.position_embeddings = nn.Parameter(torch.zeros(1, positions, config.hidden_size))
        self.token_type_embeddings = nn.Embedding(config.modality_type_vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def positions(self, rows: int, cols: int) -> Tensor:
        """Return the position table resized to a grid, (rows, cols, D)."""
        table = self.position_embeddings[:, 1:].unflatten(1, self.config.table_grid).permute(0, 3, 1, 2)
        return F.interpolate(table, (rows, cols), mode="bilinear", align_corners=True)[0].permute(1, 2, 0)

    def visual_embed(self, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images.

        Every image's own patches come in their order, then zeros as filler, up to the patches of the largest grid. A
        patch that is masked out inside a grid is left out. Of more patches than the largest grid has, or than
        `config.max_image_length`, so many are drawn, at random in training, by a fixed seed otherwise.

        Args:
            pixel_values: (B, C, H, W).
            pixel_mask: (B, H, W), 1 where a pixel is real.

        Returns:
            (B, 1 + N, D) and a mask (B, 1 + N): [CLS], the patches, filler.
        """
        patches = self.patch_embeddings(pixel_values).permute(0, 2, 3, 1)  # (B, rows, cols, D)
        height, width = patches.shape[1:3]
        mask = F.interpolate(pixel_mask[:, None].float(), (height, width))[:, 0].long()  # (B, rows, cols), nearest
        grids = torch.stack([mask[:, :, 0].sum(1), mask[:, 0].sum(1)], 1).tolist()
        longest = max(rows * cols for rows, cols in grids)
        if self.config.max_image_length > 0:
            longest = min(longest, self.config.max_image_length)
        images = []
        for embedded, real, (rows, cols) in zip(patches, mask.bool(), grids, strict=True):
            if not rows * cols:
                raise ValueError("pixel_mask: an image whose first row or column of patches is masked out")
            table = F.pad(self.positions(rows, cols), (0, 0, 0, width - cols, 0, height - rows))
            kept = (embedded + table)[real]  # (patches, D)
            images.append(kept[self._drawn(len(kept), longest).to(kept.device)])
        lengths = torch.tensor([len(image) for image in images], device=mask.device)
        x = pad_sequence(images, batch_first=True)
        x = F.pad(x, (0, 0, 0, longest - x.shape[1]))
        first = (self.cls_token + self.position_embeddings[:, :1]).expand(len(x), -1, -1)
        image_mask = (torch.arange(x.shape[1] + 1, device=mask.device) <= lengths[:, None]).long()
        return self.dropout(torch.cat([first, x], 1)), image_mask

    def _drawn(self, count: int, most: int) -> Tensor:
        """Return the indices of `count` patches, or of `most` of them, in order."""
        if count <= most:
            return torch.arange(count)
        generator = None if self.training else torch.Generator().manual_seed(0)
        return torch.randperm(count, generator=generator)[:most].sort().values

    def forward(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor,
        token_type_ids: Tensor | None,
        pixel_values: Tensor | None,
        pixel_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        image_embeds: Tensor | None,
        image_token_type_idx: int | None = IMAGE,
    ) -> tuple[Tensor, Tensor]:
        """Return texts and images side by side, (B, L, D), and their mask (B, L); see `ViltModel.forward`."""
        text = self.text_embeddings(input_ids, token_type_ids, None, inputs_embeds)
        if pixel_values is not None:
            pixel_mask = torch.ones_like(pixel_values[:, 0]) if pixel_mask is None else pixel_mask
            image, image_mask = self.visual_embed(pixel_values, pixel_mask)
        else:
            assert image_embeds is not None
            image = image_embeds
            image_mask = image.new_ones(image.shape[:2]) if pixel_mask is None else pixel_mask.flatten(1)
        kind = IMAGE if image_token_type_idx is None else image_token_type_idx
        modality = self.token_type_embeddings.weight
        x = torch.cat([text + modality[TEXT], image + modality[kind]], 1)
        return x, torch.cat([attention_mask, image_mask.to(attention_mask)], 1)


class ViltLayer(PreNormLayer):
    """One block; returns a tuple, with the attention when it is asked for."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See `PreNormLayer.forward`."""
        out, weights = super().forward(*args, **kwargs)
        return (out,) if weights is None else (out, weights)


class ViltPreTrainedModel(PreTrainedModel):
    """The base of the classes of ViLT; they read the original project's `.ckpt` files too."""

    config: ViltConfig
    config_class = ViltConfig
    base_model_prefix = "vilt"
    _no_split_modules: ClassVar[list[str]] = ["ViltEmbeddings", "ViltLayer"]

    @classmethod
    def read_checkpoint(cls, folder: Folder, **options: Any) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
        """Read a folder or a `.ckpt` file."""
        if original.is_original(folder):
            found = original.read(folder)
            return found.config.to_dict(), found.tensors
        return super().read_checkpoint(folder, **options)

    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.LayerNorm):
            nn.init.zeros_(module.bias)
            nn.init.ones_(module.weight)


class ViltModel(ViltPreTrainedModel):
    """ViLT without a head.

    Args:
        config: The model's.
        add_pooling_layer: Whether the text's [CLS] is pooled.
    """

    def __init__(self, config: ViltConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = ViltEmbeddings(config)
        self.encoder = Encoder(config, ViltLayer)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = Pooler(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        self.post_init()

    @classmethod
    def options_of(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return whether a checkpoint has a pooler."""
        return {"add_pooling_layer": any(name.endswith("pooler.dense.weight") for name in tensors)}

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of words."""
        return self.embeddings.text_embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table of words."""
        self.embeddings.text_embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        image_token_type_idx: int | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Read padded texts and images.

        Args:
            input_ids: Int64 (B, T).
            attention_mask: (B, T), 1 where a token is real.
            token_type_ids: Int64 (B, T); 0 when not given.
            pixel_values: Float (B, C, H, W), normalised.
            pixel_mask: (B, H, W), 1 where a pixel is real; for `image_embeds` (B, N) or (B, rows, cols).
            head_mask: A factor for each head, (heads,) or (layers, heads).
            inputs_embeds: (B, T, D), in place of the ids.
            image_embeds: (B, N, D), in place of the pixels.
            image_token_type_idx: The modality: 1, or i for the i-th image of a text.
            output_attentions: Whether every layer's attention is returned.
            output_hidden_states: Whether every layer's output is returned.
            return_dict: Whether named values are returned, not a tuple.

        Returns:
            `BaseModelOutputWithPooling`, with hidden states (B, T + 1 + N, D): the text, the image [CLS], its patches.

        Raises:
            ValueError: Inputs are missing or do not go together.
        """
        words = one_of(input_ids=input_ids, inputs_embeds=inputs_embeds)
        image = one_of(pixel_values=pixel_values, image_embeds=image_embeds)
        batch, length = words.shape[:2]
        if length > (limit := self.config.max_position_embeddings):
            raise ValueError(f"a text has {counted(length, 'token')}; the model reads at most {limit}: truncate it")
        if len(image) != batch:
            raise ValueError(f"{counted(batch, 'text')} and {counted(len(image), 'image')} do not pair up")
        if attention_mask is None:
            attention_mask = words.new_ones((batch, length), dtype=torch.int64)
        x, mask = self.embeddings(
            input_ids,
            attention_mask,
            token_type_ids,
            pixel_values,
            pixel_mask,
            inputs_embeds,
            image_embeds,
            image_token_type_idx,
        )
        config = self.config
        encoded = self.encoder(
            x,
            additive(mask, x.dtype),
            head_masks(head_mask, config.num_hidden_layers, x.dtype),
            config.output_attentions if output_attentions is None else output_attentions,
            config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        hidden = self.layernorm(encoded.last_hidden_state)
        pooled = None if self.pooler is None else self.pooler(hidden)
        out = BaseModelOutputWithPooling(hidden, pooled, encoded.hidden_states, encoded.attentions)
        return self.finish(out, return_dict)
