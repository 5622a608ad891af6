"""`ViltModel`: text tokens and image patches, read together by one transformer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vilt.backbone import Backbone, one_of
from vilt.configuration import ViltConfig
from vilt.embeddings import ImageEmbeddings, TextEmbeddings
from vilt.grids import Grid
from vilt.outputs import EncoderOutput
from vilt.packing import Packed, Pairs, Put, as_tensor

TEXT, IMAGE = 0, 1  # rows of the modality table


class ViltModel(Backbone):
    """ViLT without a head. `forward` is the published, padded API; `pooled` the packed path of the `Predictor`."""

    config: ViltConfig
    config_class = ViltConfig

    def __init__(self, config: ViltConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        self.text = TextEmbeddings(config)
        self.image = ImageEmbeddings(config, mode="bilinear", align_corners=True)
        self.modality = nn.Embedding(config.modality_type_vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

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
    ) -> EncoderOutput | tuple[Any, ...]:
        """Padded texts and images -> hidden states.

        input_ids, attention_mask, token_type_ids: int64 (B, T); inputs_embeds (B, T, D) in place of the ids.
        pixel_values: float (B, 3, H, W), normalised; pixel_mask: (B, H, W), 1 where a pixel is real, one rectangle from
        the top left corner. image_embeds: (B, N, D) in place of the pixels, pixel_mask then (B, N) or (B, rows, cols).
        head_mask: (heads,) or (layers, heads). image_token_type_idx: the modality, 1 unless it is a later image.
        """
        words = one_of(input_ids=input_ids, inputs_embeds=inputs_embeds)
        batch, length = words.shape[:2]
        if length > (limit := self.config.max_position_embeddings):
            raise ValueError(f"a text has {length} tokens; the model reads at most {limit}: truncate it")
        if attention_mask is None:
            attention_mask = words.new_ones((batch, length), dtype=torch.int64)
        positions = torch.arange(length, device=words.device).expand(batch, length)
        text = self.text(words, positions, token_type_ids) + self.modality.weight[TEXT]  # (B, T, D)
        if one_of(pixel_values=pixel_values, image_embeds=image_embeds) is pixel_values:
            image, image_mask = self._embed_pixels(pixel_values, pixel_mask)  # (B, 1 + N, D), (B, 1 + N)
        else:
            assert image_embeds is not None
            image = image_embeds
            image_mask = image.new_ones(image.shape[:2]) if pixel_mask is None else pixel_mask.flatten(1)
        if len(image) != batch:
            raise ValueError(f"{batch} texts and {len(image)} images do not pair up")
        modality = self.modality.weight[IMAGE if image_token_type_idx is None else image_token_type_idx]
        x = torch.cat([text, image + modality], 1)
        mask = torch.cat([attention_mask, image_mask.to(attention_mask)], 1)
        return self.encode(x, mask, head_mask, output_attentions, output_hidden_states, return_dict)

    def _embed_pixels(self, pixel_values: Tensor, pixel_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 1 + N, D) and mask (B, 1 + N): [CLS], each image's own patches, then filler.

        With `max_image_length` > 0, of an image with more patches that many are kept: always the same ones.
        """
        patch = self.config.patch_size
        rows, cols = (side // patch for side in pixel_values.shape[-2:])
        if pixel_mask is None:
            pixel_mask = torch.ones_like(pixel_values[:, 0])
        mask = F.interpolate(pixel_mask[:, None].float(), (rows, cols))[:, 0]  # (B, rows, cols), nearest
        grids = [Grid(int(r), int(c)) for r, c in zip(mask[:, :, 0].sum(1), mask[:, 0].sum(1), strict=True)]
        patches = self.image.patches(pixel_values, patch)
        images = []
        for own, grid in zip(patches, grids, strict=True):  # own: (rows, cols, D)
            real = own[: grid.rows, : grid.cols].flatten(0, 1) + self.image.positions(grid)
            kept = real[_sample(len(real), self.config.max_image_length).to(real.device)]
            images.append(self.dropout(torch.cat([self.image.first(), kept])))
        lengths = torch.tensor([len(image) for image in images], device=mask.device)
        padded = pad_sequence(images, batch_first=True)
        return padded, (torch.arange(padded.shape[1], device=mask.device) < lengths[:, None]).to(mask.dtype)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """The images of `pairs` -> (modalities + patches, D): an image [CLS] for each modality from 1 to the highest,
        then every patch with its position and modality."""
        types = pairs.image_types.tolist()
        kinds = list(zip(pairs.grids, types, strict=True))
        tables = {(grid, t): self.image.positions(grid) + self.modality.weight[t] for grid, t in dict.fromkeys(kinds)}
        first = self.image.first() + self.modality.weight[IMAGE : 1 + max(types)]
        patches = projection(put(pairs.patches).to(self.modality.weight.device))
        return torch.cat([first, patches + torch.cat([tables[kind] for kind in kinds])])

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """A packed batch and its embedded images, as `embed_images` gives them -> (T, D), what the encoder reads."""
        return batch.fill(self.text(batch.token_ids, batch.positions) + self.modality.weight[TEXT], images)

    def text_states(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (texts, D), the last hidden state of every text token in packed order."""
        layouts = [batch] * len(self.encoder.blocks)
        return self.norm(self.encoder(self.embed(batch, images), layouts)[-1][batch.text_rows])


def _sample(count: int, most: int) -> Tensor:
    """The indices of `count` patches, or of `most` of them by a fixed seed, in order."""
    if not 0 < most < count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values
