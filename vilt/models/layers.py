"""The parts that the published models share: the layers of ViT, the stack of layers, heads, losses.

Module names are those of published checkpoints, so `state_dict()` has their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vilt.common.activations import activation
from vilt.common.model_outputs import BaseModelOutput
from vilt.models.attention import LayerOutput, SelfAttention


class Intermediate(nn.Module):
    """The first linear layer of a block's MLP, and its activation."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, intermediate_size)."""
        return self.intermediate_act_fn(self.dense(hidden_states))


class ViTSelfOutput(nn.Module):
    """The output layer of attention; the residual is added by the block."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """(B, L, heads * size) -> (B, L, D)."""
        del input_tensor
        return self.dropout(self.dense(hidden_states))


class ViTAttention(nn.Module):
    """ViT's attention with its output layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = SelfAttention(config, config.qkv_bias)
        self.output = ViTSelfOutput(config)
        self.pruned_heads: set[int] = set()

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> LayerOutput:
        """Mix as `SelfAttention.forward` does; the tokens are (B, L, D)."""
        mixed, weights = self.attention(hidden_states, attention_mask, head_mask, output_attentions)
        return self.output(mixed, hidden_states), weights

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Remove heads."""
        self.output.dense, self.pruned_heads = self.attention.prune(heads, self.pruned_heads, self.output.dense)


class ViTOutput(nn.Module):
    """The second linear layer of a block's MLP, and its residual."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """(B, L, intermediate_size), (B, L, D) -> (B, L, D)."""
        return self.dropout(self.dense(hidden_states)) + input_tensor


class PreNormLayer(nn.Module):
    """A block whose norms come before its layers: ViT's and ViLT's."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = ViTAttention(config)
        self.intermediate = Intermediate(config)
        self.output = ViTOutput(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> LayerOutput:
        """(B, L, D) -> (B, L, D); see `SelfAttention.forward`."""
        normed = self.layernorm_before(hidden_states)
        mixed, weights = self.attention(normed, attention_mask, head_mask, output_attentions)
        hidden_states = mixed + hidden_states
        return self.output(self.intermediate(self.layernorm_after(hidden_states)), hidden_states), weights


class Encoder(nn.Module):
    """The stack of layers.

    Args:
        config: A model's config.
        layer: The class of the layers.
    """

    def __init__(self, config: Any, layer: Callable[[Any], nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.ModuleList([layer(config) for _ in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False
        self.checkpoint: Callable[..., Any] = partial(checkpoint, use_reentrant=False)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> Any:
        """Run every layer; head_mask: for each layer one as `SelfAttention.forward` takes it, or None for all."""
        states, attentions = [hidden_states], []
        for i, layer in enumerate(self.layer):
            arguments = (attention_mask, None if head_mask is None else head_mask[i], output_attentions)
            if self.gradient_checkpointing and self.training:
                out = self.checkpoint(layer.__call__, states[-1], *arguments)
            else:
                out = layer(states[-1], *arguments)
            tokens, weights = (*out, None)[:2] if isinstance(out, tuple) else (out, None)
            states.append(tokens)
            attentions.append(weights)
        result = BaseModelOutput(
            states[-1],
            tuple(states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
        )
        return result if return_dict else result.to_tuple()


class Pooler(nn.Module):
    """A linear map of the first token and its activation."""

    def __init__(self, hidden_size: int, width: int, act: str = "tanh") -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, width)
        self.activation = activation(act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, L, D) -> (B, width)."""
        return self.activation(self.dense(hidden_states[:, 0]))


class PredictionHeadTransform(nn.Module):
    """The layers before the decoder of masked words."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(hidden_states)))


class MaskedWordHead(nn.Module):
    """A logit for every word of the vocabulary, for every token. `bias` and `decoder.bias` are one parameter."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.transform = PredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.decoder.bias = self.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> (..., vocabulary)."""
        return self.decoder(self.transform(hidden_states))


def one_of(**given: Tensor | None) -> Tensor:
    """Return the one input that is given. Raises ValueError when none is, or both are."""
    present = [value for value in given.values() if value is not None]
    if len(present) != 1:
        raise ValueError(f"{' or '.join(given)}: give one of them, not {'both' if present else 'none'}")
    return present[0]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of logits (..., classes) and labels int64 (...,), -100 where there is none."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten().to(logits.device))
