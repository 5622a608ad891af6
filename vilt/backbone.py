"""What all models of the family do with embedded tokens: the encoder, the norm after it, and the pooler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from vilt.configuration import Config
from vilt.encoder import Dense, Encoder
from vilt.linear import activation
from vilt.outputs import EncoderOutput
from vilt.packing import Packed, Pairs, Put, as_tensor
from vilt.pretrained import PretrainedModel


class Pooler(nn.Module):
    """A linear map of [CLS] and its activation, tanh unless the config says otherwise."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = getattr(config, "pooler_output_size", None) or config.hidden_size
        self.dense = nn.Linear(config.hidden_size, width)
        self.act = activation(getattr(config, "pooler_act", "tanh"))

    def forward(self, first: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        return self.act(self.dense(first))


class Backbone(PretrainedModel):
    """A model without a head: the base of `ViltModel`, `ViTModel` and `VisualBertModel`, which add embeddings.

    `forward` of each is the published, padded API, and ends in `encode`. `pooled` is the packed path of predictors.
    """

    def __init__(self, config: Config, pooling: bool) -> None:
        super().__init__(config)
        self.encoder = Encoder(config, config.pre_norm)
        # Where norms come before a block's layers, the last output still lacks one.
        last = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm = last if config.pre_norm else nn.Identity()
        self.pooler = Pooler(config) if pooling else None

    @classmethod
    def options(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """No pooler where the checkpoint has none."""
        return {"add_pooling_layer": "pooler.dense.weight" in tensors}

    def parts(self) -> tuple[Backbone, dict[str, nn.Module]]:
        """The model itself, without heads."""
        return self, {}

    def encode(
        self,
        x: Tensor,
        mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Embedded tokens (B, L, D), and a mask (B, L), nonzero where one is real -> what `forward` returns."""
        states, attentions = self.run(x, mask, head_mask, output_attentions)
        return self.output(self.norm(states[-1]), states, attentions, output_hidden_states, return_dict)

    def run(
        self, x: Tensor, mask: Tensor | None, head_mask: Tensor | None, output_attentions: bool | None
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """The same -> x and every layer's output, (B, L, D) each; and every layer's attention, where asked for."""
        keep = self.config.output_attentions if output_attentions is None else output_attentions
        layers = len(self.encoder.blocks)
        heads: Sequence[Tensor | None] = [None] * layers if head_mask is None else [*head_mask.expand(layers, -1)]
        layouts = [Dense(mask, factors, keep) for factors in heads]
        states = self.encoder(x, layouts)
        return states, [layout.attentions for layout in layouts if layout.attentions is not None] if keep else None

    def output(
        self,
        hidden: Tensor,
        states: Sequence[Tensor],
        attentions: Sequence[Tensor] | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """The last hidden state (B, L, D), and what `run` gave -> what `forward` returns."""
        asked = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        out = EncoderOutput(
            hidden,
            self.pooler(hidden[:, 0]) if self.pooler is not None else None,
            tuple(states) if asked else None,
            tuple(attentions) if attentions is not None else None,
        )
        return self.finish(out, return_dict)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """The images of `pairs`, which may be projected as they are stored -> what `embed` takes.

        put: an array of rows -> a tensor, on the model's device already if that is of use.
        """
        raise NotImplementedError

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """A packed batch and its embedded images -> (T, D), what the encoder reads."""
        raise NotImplementedError

    def one(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (n, D), the last hidden state of the token that a head is on, in packed order. For inference."""
        return self.norm(self.encoder.forward_one(self.embed(batch, images), batch))

    def pooled(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (n, D), each pair's pooled [CLS]."""
        assert self.pooler is not None
        return self.pooler(self.one(batch, images))


def one_of(**given: Tensor | None) -> Tensor:
    """The one input that is given. Raises ValueError where none is, or both are."""
    present = [value for value in given.values() if value is not None]
    if len(present) != 1:
        raise ValueError(f"{' or '.join(given)}: give one of them, not {'both' if present else 'none'}")
    return present[0]
