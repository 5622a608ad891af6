"""The parts that the published models share: attention, the layers of ViT, the stack of layers, losses.

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

LayerOutput = tuple[Tensor, Tensor | None]  # the tokens, and the attention when it was asked for


class SelfAttention(nn.Module):
    """Queries, keys and values, and how they mix.

    Args:
        config: A model's config.
        bias: Whether queries, keys and values have a bias.
    """

    def __init__(self, config: Any, bias: bool = True) -> None:
        super().__init__()
        self.config = config
        self.num_attention_heads = config.num_attention_heads
        self.attention_head_size = config.hidden_size // config.num_attention_heads
        self.all_head_size = config.hidden_size
        self.query = nn.Linear(config.hidden_size, self.all_head_size, bias=bias)
        self.key = nn.Linear(config.hidden_size, self.all_head_size, bias=bias)
        self.value = nn.Linear(config.hidden_size, self.all_head_size, bias=bias)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> LayerOutput:
        """Let every token read every token of its sequence.

        Args:
            hidden_states: (B, L, D).
            attention_mask: (B, 1, 1 or L, L), what is added to the scores.
            head_mask: A factor for each head's attention, broadcast to (B, heads, L, L).
            output_attentions: Whether the probabilities are returned.

        Returns:
            (B, L, heads * size), and the probabilities (B, heads, L, L) or None.
        """
        query, key, value = (self._heads(part(hidden_states)) for part in (self.query, self.key, self.value))
        eager = getattr(self.config, "_attn_implementation", None) == "eager"
        if not eager and head_mask is None and not output_attentions:
            dropout = self.dropout.p if self.training else 0.0
            mixed = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout)
            return mixed.transpose(1, 2).flatten(2), None
        scores = query @ key.mT / self.attention_head_size**0.5  # (B, heads, L, L)
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = self.dropout(scores.softmax(-1))
        if head_mask is not None:
            weights = weights * head_mask
        return (weights @ value).transpose(1, 2).flatten(2), weights if output_attentions else None

    def _heads(self, x: Tensor) -> Tensor:
        """(B, L, heads * size) -> (B, heads, L, size)."""
        return x.unflatten(-1, (self.num_attention_heads, self.attention_head_size)).transpose(1, 2)

    def prune(self, heads: Iterable[int], pruned: set[int], output: nn.Linear) -> tuple[nn.Linear, set[int]]:
        """Remove heads, given by their first numbers; `pruned` are gone already.

        Returns:
            The output layer without the heads' columns, and all heads that are gone now.
        """
        gone = set(heads) - pruned
        kept = [head for head in range(self.num_attention_heads + len(pruned)) if head not in pruned]
        rows = torch.cat(
            [
                torch.arange(place * self.attention_head_size, (place + 1) * self.attention_head_size)
                for place, head in enumerate(kept)
                if head not in gone
            ]
        )
        self.query, self.key, self.value = (_some_rows(part, rows) for part in (self.query, self.key, self.value))
        self.num_attention_heads -= len(gone)
        self.all_head_size = self.num_attention_heads * self.attention_head_size
        return _some_columns(output, rows), pruned | gone


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
        """As `SelfAttention.forward`; the tokens are (B, L, D)."""
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
    """What stands before the decoder of masked words."""

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


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to the scores: 0 where a mask (B, L) or (B, L, L) is 1, the least number where it is 0."""
    if mask.ndim not in (2, 3):
        raise ValueError(f"attention_mask is {tuple(mask.shape)}; it is (batch, tokens) or (batch, tokens, tokens)")
    shaped = mask[:, None] if mask.ndim == 3 else mask[:, None, None]
    return (1.0 - shaped.to(dtype)) * torch.finfo(dtype).min


def head_masks(head_mask: Tensor | None, layers: int, dtype: torch.dtype) -> Tensor | None:
    """Return a mask of heads, (heads,) or (layers, heads), as (layers, 1, heads, 1, 1)."""
    if head_mask is None:
        return None
    return head_mask.expand(layers, -1)[:, None, :, None, None].to(dtype)


def one_of(**given: Tensor | None) -> Tensor:
    """Return the one input that is given. Raises ValueError when none is, or both are."""
    present = [value for value in given.values() if value is not None]
    if len(present) != 1:
        raise ValueError(f"{' or '.join(given)}: give one of them, not {'both' if present else 'none'}")
    return present[0]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of logits (..., classes) and labels int64 (...,), -100 where there is none."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten().to(logits.device))


def _some_rows(linear: nn.Linear, rows: Tensor) -> nn.Linear:
    out = nn.utils.skip_init(nn.Linear, linear.in_features, len(rows), bias=linear.bias is not None)
    return _filled(out, linear, linear.weight[rows], None if linear.bias is None else linear.bias[rows])


def _some_columns(linear: nn.Linear, columns: Tensor) -> nn.Linear:
    out = nn.utils.skip_init(nn.Linear, len(columns), linear.out_features, bias=linear.bias is not None)
    return _filled(out, linear, linear.weight[:, columns], linear.bias)


def _filled(out: nn.Linear, like: nn.Linear, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out.to(like.weight)
    with torch.no_grad():
        out.weight.copy_(weight)
        if bias is not None:
            out.bias.copy_(bias)
    out.weight.requires_grad_(like.weight.requires_grad)
    return out
