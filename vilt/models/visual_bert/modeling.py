"""VisualBERT without heads, with the module tree of published checkpoints: texts and regions, read by BERT's layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vilt.common.counts import counted
from vilt.common.model_outputs import BaseModelOutputWithPooling
from vilt.models.attention import LayerOutput, SelfAttention, additive, head_masks
from vilt.models.layers import Encoder, Intermediate, Pooler, one_of
from vilt.models.pretrained import PreTrainedModel
from vilt.models.visual_bert.configuration import VisualBertConfig


class VisualBertEmbeddings(nn.Module):
    """Words, and regions by a linear map of their features, each with token type and position; one norm."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.visual_token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.visual_position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.visual_projection = nn.Linear(config.visual_embedding_dim, size)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
    ) -> Tensor:
        """Return words, then regions, (B, T + R, D); see `VisualBertModel.forward`."""
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            position_ids = torch.arange(words.shape[1], device=words.device)[None]
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        x = words + self.token_type_embeddings(token_type_ids) + self.position_embeddings(position_ids)
        if visual_embeds is not None:
            x = torch.cat([x, self._regions(visual_embeds, visual_token_type_ids, image_text_alignment)], 1)
        return self.dropout(self.LayerNorm(x))

    def _regions(self, features: Tensor, token_types: Tensor | None, alignment: Tensor | None) -> Tensor:
        """(B, R, visual_embedding_dim) -> (B, R, D)."""
        if features.shape[-1] != self.visual_projection.in_features:
            raise ValueError(
                f"visual_embeds: features of {features.shape[-1]} numbers; the model reads "
                f"{self.visual_projection.in_features}"
            )
        if token_types is None:
            token_types = torch.ones(features.shape[:2], dtype=torch.long, device=features.device)
        places = torch.zeros(features.shape[:2], dtype=torch.long, device=features.device)
        x = self.visual_projection(features.to(self.LayerNorm.weight.dtype))
        x = x + self.visual_position_embeddings(places) + self.visual_token_type_embeddings(token_types)
        return x if alignment is None else x + self._positions_of_words(alignment, features.shape[1])

    def _positions_of_words(self, alignment: Tensor, regions: int) -> Tensor:
        """int64 (B, R, words), -1 for none -> (B, R, D): the mean of the text positions of each region's words."""
        if alignment.shape[1] < regions:
            raise ValueError(f"image_text_alignment: of {alignment.shape[1]} regions; there are {regions}")
        alignment = alignment[:, :regions]  # detectors pad some too long
        known = (alignment != -1)[..., None]  # (B, R, words, 1)
        total = (self.position_embeddings(alignment.clamp(min=0)) * known).sum(2)
        return total / known.sum(2).clamp(min=1)


class VisualBertSelfOutput(nn.Module):
    """The output layer of attention, its residual and the norm after it."""

    def __init__(self, config: VisualBertConfig, width: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(width or config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """(B, L, width), (B, L, D) -> (B, L, D)."""
        return self.LayerNorm(self.dropout(self.dense(hidden_states)) + input_tensor)


class VisualBertOutput(VisualBertSelfOutput):
    """The second linear layer of a block's MLP, its residual and the norm after it."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config, config.intermediate_size)


class VisualBertAttention(nn.Module):
    """Attention with its output layer."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = VisualBertSelfOutput(config)
        self.pruned_heads: set[int] = set()

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> LayerOutput:
        """Mix as `SelfAttention.forward` does; the tokens are (B, L, D)."""
        mixed, weights = self.self(hidden_states, attention_mask, head_mask, output_attentions)
        return self.output(mixed, hidden_states), weights

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Remove heads."""
        self.output.dense, self.pruned_heads = self.self.prune(heads, self.pruned_heads, self.output.dense)


class VisualBertLayer(nn.Module):
    """One block, its norms after the residuals; returns a tuple, with the attention when it is asked for."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        self.attention = VisualBertAttention(config)
        self.intermediate = Intermediate(config)
        self.output = VisualBertOutput(config)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, ...]:
        """(B, L, D) -> (B, L, D); see `SelfAttention.forward`."""
        mixed, weights = self.attention(hidden_states, attention_mask, head_mask, output_attentions)
        out: Tensor = self.output(self.intermediate(mixed), mixed)
        return (out,) if weights is None else (out, weights)


class VisualBertPreTrainedModel(PreTrainedModel):
    """The base of the classes of VisualBERT."""

    config: VisualBertConfig
    config_class = VisualBertConfig
    base_model_prefix = "visual_bert"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.zeros_(module.bias)
            nn.init.ones_(module.weight)
        elif isinstance(module, VisualBertEmbeddings) and self.config.special_visual_initialize:
            with torch.no_grad():
                module.visual_token_type_embeddings.weight.copy_(module.token_type_embeddings.weight)
                module.visual_position_embeddings.weight.copy_(module.position_embeddings.weight)


class VisualBertModel(VisualBertPreTrainedModel):
    """VisualBERT without a head.

    Args:
        config: The model's.
        add_pooling_layer: Whether [CLS] is pooled.
    """

    def __init__(self, config: VisualBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = VisualBertEmbeddings(config)
        self.encoder = Encoder(config, VisualBertLayer)
        self.pooler = Pooler(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        self.bypass_transformer = config.bypass_transformer
        if config.bypass_transformer:
            self.additional_layer = VisualBertLayer(config)
        self.post_init()

    @classmethod
    def options_of(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return whether a checkpoint has a pooler."""
        return {"add_pooling_layer": any(name.endswith("pooler.dense.weight") for name in tensors)}

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of words."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table of words."""
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Read padded texts and regions.

        Args:
            input_ids: Int64 (B, T).
            attention_mask: (B, T), 1 where a token is real; for text alone also (B, T, T).
            token_type_ids: Int64 (B, T); 0 when not given.
            position_ids: Int64 (B, T); 0, 1, 2, ... when not given.
            head_mask: A factor for each head, (heads,) or (layers, heads).
            inputs_embeds: (B, T, D), in place of the ids.
            visual_embeds: Float (B, R, visual_embedding_dim), the regions' features; text alone is read without.
            visual_attention_mask: (B, R), 1 where a region is real.
            visual_token_type_ids: Int64 (B, R); 1 when not given.
            image_text_alignment: Int64 (B, R, words), the places of the words that a region goes with, -1 for none.
            output_attentions: Whether every layer's attention is returned.
            output_hidden_states: Whether every layer's output is returned.
            return_dict: Whether named values are returned, not a tuple.

        Returns:
            `BaseModelOutputWithPooling`, with hidden states (B, T + R, D), the text's first.

        Raises:
            ValueError: Inputs are missing or do not go together.
        """
        words = one_of(input_ids=input_ids, inputs_embeds=inputs_embeds)
        length = words.shape[1]
        if length > (limit := self.config.max_position_embeddings):
            raise ValueError(f"a text has {counted(length, 'token')}; the model reads at most {limit}: truncate it")
        mask = _joint_mask(words, attention_mask, visual_embeds, visual_attention_mask)
        x = self.embeddings(
            input_ids,
            token_type_ids,
            position_ids,
            inputs_embeds,
            visual_embeds,
            visual_token_type_ids,
            image_text_alignment,
        )
        config, scores = self.config, additive(mask, x.dtype)
        bypass = self.bypass_transformer and visual_embeds is not None
        encoded = self.encoder(
            x[:, :length] if bypass else x,
            scores[..., :length] if bypass else scores,
            head_masks(head_mask, config.num_hidden_layers, x.dtype),
            config.output_attentions if output_attentions is None else output_attentions,
            config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        hidden = encoded.last_hidden_state
        if bypass:
            hidden = self.additional_layer(torch.cat([hidden, x[:, length:]], 1), scores)[0]
        pooled = None if self.pooler is None else self.pooler(hidden)
        out = BaseModelOutputWithPooling(hidden, pooled, encoded.hidden_states, encoded.attentions)
        return self.finish(out, return_dict)


def _joint_mask(
    words: Tensor, attention_mask: Tensor | None, visual_embeds: Tensor | None, visual_attention_mask: Tensor | None
) -> Tensor:
    """Return the mask over texts and their regions, (B, T + R), 1 where a token or region is real.

    Without regions it is the texts' own, as it was given.

    Raises:
        ValueError: There are more or fewer rows of regions than texts.
    """
    mask = words.new_ones(words.shape[:2], dtype=torch.int64) if attention_mask is None else attention_mask
    if visual_embeds is None:
        return mask
    if len(visual_embeds) != len(words):
        raise ValueError(
            f"visual_embeds: {counted(len(visual_embeds), 'row')} of regions, {counted(len(words), 'text')}: they do "
            f"not pair up"
        )
    if visual_attention_mask is None:
        visual_attention_mask = mask.new_ones(visual_embeds.shape[:2])
    return torch.cat([mask, visual_attention_mask.to(mask)], 1)
