"""`VisualBertModel`: text tokens and the features of an image's regions, read together by BERT's transformer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vilt.backbone import Backbone, one_of
from vilt.configuration import VisualBertConfig
from vilt.embeddings import TextEmbeddings
from vilt.encoder import Block, Dense
from vilt.linear import Linear
from vilt.outputs import EncoderOutput
from vilt.packing import Packed, Pairs, Put, Sequences, as_tensor

POSITION, TOKEN_TYPE = 0, 1  # of every region, where the caller says nothing else


class RegionEmbeddings(nn.Module):
    """A linear map of each region's features + token type + position; the text's norm comes after."""

    def __init__(self, config: VisualBertConfig, text: TextEmbeddings) -> None:
        super().__init__()
        self.projection = Linear(config.visual_embedding_dim, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.hidden_size)
        if config.special_visual_initialize:
            with torch.no_grad():
                self.position.weight.copy_(text.position.weight)
                self.token_type.weight.copy_(text.token_type.weight)

    def forward(self, features: Tensor, token_types: Tensor | None, words: Tensor | None) -> Tensor:
        """features (B, R, visual_embedding_dim), token types int64 (B, R) -> (B, R, D).

        words: (B, R, D), what the positions of the words that each region goes with add.
        """
        types = self.token_type.weight[TOKEN_TYPE] if token_types is None else self.token_type(token_types)
        x = self.projection(features) + self.position.weight[POSITION] + types
        return x if words is None else x + words


class VisualBertModel(Backbone):
    """VisualBERT without a head."""

    config: VisualBertConfig
    config_class = VisualBertConfig

    def __init__(self, config: VisualBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        self.text = TextEmbeddings(config, config.pad_token_id)
        self.visual = RegionEmbeddings(config, self.text)
        self.additional = Block(config, config.pre_norm) if config.bypass_transformer else None

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        head_mask: Tensor | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Padded texts and regions -> hidden states (B, T + R, D), the text's first.

        input_ids, attention_mask, token_type_ids, position_ids: int64 (B, T); inputs_embeds (B, T, D) in place of the
        ids. visual_embeds: float (B, R, visual_embedding_dim), the regions' features; without, text alone is read.
        visual_attention_mask: (B, R), nonzero where a region is real. visual_token_type_ids: int64 (B, R), 1 where left
        out. image_text_alignment: int64 (B, R, words), the places of the words that a region goes with, -1 for none.
        head_mask: (heads,) or (layers, heads).
        """
        words = one_of(input_ids=input_ids, inputs_embeds=inputs_embeds)
        batch, length = words.shape[:2]
        if length > (limit := self.config.max_position_embeddings):
            raise ValueError(f"a text has {length} tokens; the model reads at most {limit}: truncate it")
        if position_ids is None:
            position_ids = torch.arange(length, device=words.device).expand(batch, length)
        x = self.text(words, position_ids, token_type_ids)  # (B, T, D)
        mask = words.new_ones((batch, length), dtype=torch.int64) if attention_mask is None else attention_mask
        asked = (head_mask, output_attentions)
        if visual_embeds is None:
            return self.encode(x, mask, *asked, output_hidden_states, return_dict)
        regions = self._embed_regions(visual_embeds, visual_token_type_ids, image_text_alignment)  # (B, R, D)
        if len(regions) != batch:
            raise ValueError(f"visual_embeds: {len(regions)} rows of regions and {batch} texts do not pair up")
        real = mask.new_ones(regions.shape[:2]) if visual_attention_mask is None else visual_attention_mask
        both = torch.cat([mask, real.to(mask)], 1)
        if self.additional is None:
            return self.encode(torch.cat([x, regions], 1), both, *asked, output_hidden_states, return_dict)
        states, attentions = self.run(x, mask, *asked)
        hidden = self.additional(torch.cat([states[-1], regions], 1), Dense(both))
        return self.output(hidden, states, attentions, output_hidden_states, return_dict)

    def _embed_regions(self, features: Tensor, token_types: Tensor | None, alignment: Tensor | None) -> Tensor:
        """(B, R, visual_embedding_dim) -> (B, R, D), normed."""
        width = self.config.visual_embedding_dim
        if features.shape[-1] != width:
            raise ValueError(f"visual_embeds: features of {features.shape[-1]} numbers; the model reads {width}")
        words = None if alignment is None else self._positions_of_words(alignment, features.shape[1])
        features = features.to(self.text.norm.weight.dtype)
        return self.text.dropout(self.text.norm(self.visual(features, token_types, words)))

    def _positions_of_words(self, alignment: Tensor, regions: int) -> Tensor:
        """int64 (B, R, words), -1 for none -> (B, R, D): the mean of the text positions of each region's words."""
        if alignment.shape[1] < regions:
            raise ValueError(f"image_text_alignment: of {alignment.shape[1]} regions; there are {regions}")
        alignment = alignment[:, :regions]  # detectors pad some too long
        known = (alignment != -1)[..., None]  # (B, R, words, 1)
        total = (self.text.position(alignment.clamp(min=0)) * known).sum(2)
        return total / known.sum(2).clamp(min=1)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """The regions of `pairs` -> (all regions, D), normed. projection: of features, (n, width) -> (n, D)."""
        weight = self.text.norm.weight
        features = put(pairs.patches).to(weight.device, weight.dtype)
        x = projection(features) + self.visual.position.weight[POSITION] + self.visual.token_type.weight[TOKEN_TYPE]
        return self.text.norm(x)

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """Texts and regions side by side."""
        return batch.fill(self.text(batch.token_ids, batch.positions), images)

    def one(self, batch: Packed, images: Tensor) -> Tensor:
        """As `Backbone.one`; where regions bypass the encoder, they join in one more block."""
        if self.additional is None:
            return super().one(batch, images)
        texts = Sequences(batch.text_lengths, images.device)
        x = self.text(batch.token_ids, batch.positions)
        states = self.encoder(x, [texts] * len(self.encoder.blocks))
        return self.additional.forward_one(batch.fill(states[-1], images), batch)
