"""Attention of the published models, its masks, and the removal of heads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.patch_config import check_heads
from vilt.common.skip_init import SkipInit

LayerOutput = tuple[Tensor, Tensor | None]  # the tokens, and the attention when it was asked for


class SelfAttention(nn.Module):
    """Queries, keys and values, and how they mix.

    Args:
        config: A model's config.
        bias: Whether queries, keys and values have a bias.

    Raises:
        ValueError: The heads do not share the hidden size evenly.
    """

    def __init__(self, config: Any, bias: bool = True) -> None:
        super().__init__()
        check_heads(config.hidden_size, config.num_attention_heads)
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
        self.query, self.key, self.value = (
            _filled(part, part.weight[rows], None if part.bias is None else part.bias[rows])
            for part in (self.query, self.key, self.value)
        )
        self.num_attention_heads -= len(gone)
        self.all_head_size = self.num_attention_heads * self.attention_head_size
        return _filled(output, output.weight[:, rows], output.bias), pruned | gone


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


def _filled(like: nn.Linear, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer with copies of these weights, on the device and in the dtype of another."""
    with SkipInit():
        out = nn.Linear(weight.shape[1], len(weight), bias is not None, like.weight.device, like.weight.dtype)
    with torch.no_grad():
        out.weight.copy_(weight)
        if bias is not None:
            out.bias.copy_(bias)
    out.weight.requires_grad_(like.weight.requires_grad)
    return out
