"""The transformer of the whole family: blocks over tokens that lie in one of two layouts.

Blocks differ in the norms' place alone: before each layer (ViLT, ViT), or after each residual (VisualBERT, as BERT).
A layout is the only thing that knows which tokens belong together: `Dense` here for padded batches (B, L, D), as
the published API has them, and `vilt.inference.packing.Packed` for the tokens of many pairs in one matrix (T, D).
Linear layers and norms do not care; attention asks the layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from vilt.inference.linear import Linear, activation


class Layout(Protocol):
    """Which tokens attend to which."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """(..., heads, d) each -> (..., heads, d): every token reads all tokens of its own sequence."""
        ...


class OneLayout(Layout, Protocol):
    """A layout that can also let only one token of each sequence read: the one that a head is on, mostly [CLS]."""

    def one(self, x: Tensor) -> Tensor:
        """(..., D) -> (n, D): that token of each of the n sequences."""
        ...

    def attend_one(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (n, heads, d), k and v (..., heads, d) -> (n, heads, d): only those tokens read."""
        ...


class Dense:
    """Padded sequences (B, L), for one layer.

    mask: (B, L), nonzero where a token is real; None where all are. head_mask: (heads,), a factor for each head's
    attention. With `keep`, `attentions` holds the probabilities (B, heads, L, L) after the layer has run.
    """

    def __init__(self, mask: Tensor | None, head_mask: Tensor | None = None, keep: bool = False) -> None:
        self.mask = None if mask is None else mask[:, None, None, :].bool()  # (B, 1, 1, L)
        self.head_mask, self.keep = head_mask, keep
        self.attentions: Tensor | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
        """(B, L, heads, d) each -> (B, L, heads, d)."""
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (B, heads, L, d)
        if self.head_mask is None and not self.keep:
            return F.scaled_dot_product_attention(q, k, v, self.mask, dropout).transpose(1, 2)
        scores = q @ k.mT / q.shape[-1] ** 0.5  # (B, heads, L, L)
        if self.mask is not None:
            scores = scores.masked_fill(~self.mask, float("-inf"))
        weights = F.dropout(scores.softmax(-1), dropout)
        if self.head_mask is not None:
            weights = weights * self.head_mask[:, None, None]
        self.attentions = weights if self.keep else None
        return (weights @ v).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention, added to a residual."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads, size = config.num_attention_heads, config.hidden_size
        self.q = Linear(size, size, bias=getattr(config, "qkv_bias", True))
        self.kv = Linear(size, 2 * size, bias=getattr(config, "qkv_bias", True))  # keys, then values
        self.out = Linear(size, size)
        self.attention_dropout, self.dropout = config.attention_probs_dropout_prob, config.hidden_dropout_prob

    def forward(self, x: Tensor, layout: Layout, residual: Tensor) -> Tensor:
        """(..., D) and what to add to -> (..., D)."""
        dropout = self.attention_dropout if self.training else 0.0
        mixed = layout.attend(self._heads(self.q(x)), *self._keys_and_values(x), dropout)
        return add(self.out, mixed.flatten(-2), residual, self.dropout)

    def forward_one(self, x: Tensor, layout: OneLayout, residual: Tensor) -> Tensor:
        """(..., D), (n, D) -> (n, D): what `forward` gives for one token each, without the work for the others."""
        mixed = layout.attend_one(self._heads(self.q(layout.one(x))), *self._keys_and_values(x))
        return self.out.add(mixed.flatten(-2), residual)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., D) -> (..., heads, d) each."""
        k, v = self.kv(x).chunk(2, -1)
        return self._heads(k), self._heads(v)


class Mlp(nn.Module):
    """Two linear layers with the configured activation between them, added to a residual."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        activation(config.hidden_act)  # it is known, or the model is refused here
        self.up = Linear(config.hidden_size, config.intermediate_size)
        self.act = config.hidden_act
        self.down = Linear(config.intermediate_size, config.hidden_size)
        self.dropout = config.hidden_dropout_prob

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(..., D) and what to add to -> (..., D)."""
        return add(self.down, self.up(x, self.act), residual, self.dropout)


def add(linear: Linear, x: Tensor, residual: Tensor, dropout: float) -> Tensor:
    """residual + linear(x), with dropout in training."""
    if linear.training and dropout:
        return residual + F.dropout(linear(x), dropout)
    return linear.add(x, residual)


class Block(nn.Module):
    """One transformer block. pre_norm: whether its norms come before its layers, or after the residuals."""

    def __init__(self, config: Any, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(..., D) -> (..., D)."""
        if self.pre_norm:
            x = self.attention(self.norm1(x), layout, x)
            return self.mlp(self.norm2(x), x)
        x = self.norm1(self.attention(x, layout, x))
        return self.norm2(self.mlp(x, x))

    def forward_one(self, x: Tensor, layout: OneLayout) -> Tensor:
        """(..., D) -> (n, D): one token of each sequence only; for inference, so without dropout."""
        if self.pre_norm:
            x = self.attention.forward_one(self.norm1(x), layout, layout.one(x))
            return self.mlp(self.norm2(x), x)
        x = self.norm1(self.attention.forward_one(x, layout, layout.one(x)))
        return self.norm2(self.mlp(x, x))


class Encoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: Any, pre_norm: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, pre_norm) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, layouts: Iterable[Layout]) -> list[Tensor]:
        """(..., D), and a layout for each layer -> x and every layer's output, (..., D) each."""
        states = [x]
        for block, layout in zip(self.blocks, layouts, strict=True):
            states.append(block(states[-1], layout))
        return states

    def forward_one(self, x: Tensor, layout: OneLayout) -> Tensor:
        """(..., D) -> (n, D): the last layer computes only what a head on one token reads (about 7 % less work)."""
        for block in self.blocks[:-1]:
            x = block(x, layout)
        last: Block = self.blocks[-1]  # type: ignore[assignment]
        return last.forward_one(x, layout)
