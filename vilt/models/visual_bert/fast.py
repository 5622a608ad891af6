"""VisualBERT for inference: the published model's weights, laid out for packed batches."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vilt.inference.backbone import Backbone
from vilt.inference.embeddings import TextEmbeddings, table_of
from vilt.inference.encoder import Block, LayerParts
from vilt.inference.packing import Packed, Put, Sequences, as_tensor
from vilt.inference.pairs import Pairs
from vilt.models.visual_bert.modeling import VisualBertModel

POSITION, TOKEN_TYPE = 0, 1  # of every region


class FastVisualBert(Backbone):
    """VisualBERT over packed batches, built from a published model."""

    def __init__(self, model: VisualBertModel) -> None:
        config, embeddings = model.config, model.embeddings
        super().__init__([layer_parts(layer) for layer in model.encoder.layer], False, None, model.pooler)
        self.text = TextEmbeddings(embeddings)
        self.region_position = table_of(embeddings.visual_position_embeddings)
        self.region_type = table_of(embeddings.visual_token_type_embeddings)
        self.additional = None
        if config.bypass_transformer:
            self.additional = Block(layer_parts(model.additional_layer), False)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """Return the regions of `pairs`, (all regions, D), normed."""
        weight = self.text.norm.weight
        features = put(pairs.patches).to(weight.device, weight.dtype)
        x = projection(features) + self.region_position.weight[POSITION] + self.region_type.weight[TOKEN_TYPE]
        return self.text.norm(x)

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        return batch.fill(self.text(batch.token_ids, batch.positions), images)

    def one(self, batch: Packed, images: Tensor) -> Tensor:
        """See `Backbone.one`; regions that bypass the encoder join in one more block."""
        if self.additional is None:
            return super().one(batch, images)
        texts = Sequences(batch.text_lengths, images.device)
        states = self.encoder(self.text(batch.token_ids, batch.positions), texts)
        return self.additional.forward_one(batch.fill(states, images), batch)


def layer_parts(layer: Any) -> LayerParts:
    """Return the parts of a published layer."""
    mixed = layer.attention.self
    return LayerParts(
        mixed.query,
        mixed.key,
        mixed.value,
        layer.attention.output.dense,
        layer.intermediate.dense,
        layer.output.dense,
        layer.attention.output.LayerNorm,
        layer.output.LayerNorm,
        mixed.num_attention_heads,
        layer.intermediate.intermediate_act_fn,
    )
