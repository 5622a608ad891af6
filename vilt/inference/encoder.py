"""The transformer of all families, built from published layers, over the tokens of many pairs in one matrix.

Blocks differ in the place of the norms alone: before each layer (ViLT, ViT), or after each residual (VisualBERT, as
BERT). Queries stay apart from keys and values, which are one product: the last layer computes queries for one token of
each pair only. A layout, `vilt.inference.packing.Packed`, is the only thing that knows which tokens belong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vilt.common.skip_init import SkipInit
from vilt.inference.linear import Linear


class Layout(Protocol):
    """The tokens that each token attends to."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(T, heads, d) each -> (T, heads, d): every token reads all tokens of its own sequence."""
        ...

    def one(self, x: Tensor) -> Tensor:
        """(T, D) -> (n, D): the token of each of the n sequences that a head is on, mostly [CLS]."""
        ...

    def attend_one(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Q (n, heads, d), k and v (T, heads, d) -> (n, heads, d): only those tokens read."""
        ...


class LayerParts(NamedTuple):
    """The modules of a published layer, by what they do."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    up: nn.Linear
    down: nn.Linear
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    heads: int
    act: nn.Module


class Attention(nn.Module):
    """Multi-head self-attention, added to a residual."""

    def __init__(self, parts: LayerParts) -> None:
        super().__init__()
        self.heads = parts.heads
        self.q, self.kv, self.out = fused(parts.query), fused(parts.key, parts.value), fused(parts.out)

    def forward(self, x: Tensor, layout: Layout, residual: Tensor) -> Tensor:
        """(T, D) and what to add to -> (T, D)."""
        mixed = layout.attend(self._heads(self.q(x)), *self._keys_and_values(x))
        return self.out.add(mixed.flatten(-2), residual)

    def forward_one(self, x: Tensor, layout: Layout, residual: Tensor) -> Tensor:
        """(T, D), (n, D) -> (n, D): what `forward` gives for one token each, without the work for the others."""
        mixed = layout.attend_one(self._heads(self.q(layout.one(x))), *self._keys_and_values(x))
        return self.out.add(mixed.flatten(-2), residual)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T, D) -> (T, heads, d) each."""
        k, v = self.kv(x).chunk(2, -1)
        return self._heads(k), self._heads(v)


class Mlp(nn.Module):
    """Two linear layers with an activation between them, added to a residual."""

    def __init__(self, parts: LayerParts) -> None:
        super().__init__()
        self.up, self.down = fused(parts.up), fused(parts.down)
        self.act = activation_of(parts.act)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(T, D) and what to add to -> (T, D)."""
        return self.down.add(self.up(x, self.act), residual)


class Block(nn.Module):
    """One transformer block.

    Args:
        parts: A published layer's.
        pre_norm: Whether norms come before the layers, not after the residuals.
    """

    def __init__(self, parts: LayerParts, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1, self.norm2 = norm(parts.norm1), norm(parts.norm2)
        self.attention, self.mlp = Attention(parts), Mlp(parts)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (T, D)."""
        if self.pre_norm:
            x = self.attention(self.norm1(x), layout, x)
            return self.mlp(self.norm2(x), x)
        x = self.norm1(self.attention(x, layout, x))
        return self.norm2(self.mlp(x, x))

    def forward_one(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (n, D): one token of each sequence only."""
        if self.pre_norm:
            x = self.attention.forward_one(self.norm1(x), layout, layout.one(x))
            return self.mlp(self.norm2(x), x)
        x = self.norm1(self.attention.forward_one(x, layout, layout.one(x)))
        return self.norm2(self.mlp(x, x))


class Encoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, layers: Iterable[LayerParts], pre_norm: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(parts, pre_norm) for parts in layers)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (T, D), after every layer."""
        for block in self.blocks:
            x = block(x, layout)
        return x

    def forward_one(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (n, D): the last layer computes only what a head on one token reads (about 7 % less work)."""
        if not len(self.blocks):
            return layout.one(x)
        for block in self.blocks[:-1]:
            x = block(x, layout)
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return last.forward_one(x, layout)


def fused(*layers: nn.Module) -> Linear:
    """Return one linear layer that gives what several give, end to end; the weights are copies.

    Raises:
        ValueError: A layer is not a plain linear layer, as one with an adapter that is not merged.
    """
    for layer in layers:
        if not isinstance(layer, nn.Linear):
            raise ValueError(f"a predictor reads linear layers, not {type(layer).__name__}: merge adapters first")
    weights = [layer.weight.detach() for layer in layers if isinstance(layer, nn.Linear)]
    biases = [layer.bias.detach() for layer in layers if isinstance(layer, nn.Linear) and layer.bias is not None]
    with SkipInit():
        out = Linear(weights[0].shape[1], sum(map(len, weights)), bias=bool(biases), device="meta")
    out.weight = nn.Parameter(torch.cat(weights), requires_grad=False)
    if biases:
        out.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return out


def activation_of(module: nn.Module) -> str | nn.Module:
    """Return the name of an activation if kernels take it in, else a copy of the module, trained weights included."""
    if type(module) is nn.GELU:
        return "gelu_new" if module.approximate == "tanh" else "gelu"
    if type(module) is nn.ReLU:
        return "relu"
    return deepcopy(module).requires_grad_(False)


def norm(layer: nn.LayerNorm) -> nn.LayerNorm:
    """Return a copy of a norm for inference."""
    out = nn.LayerNorm(layer.normalized_shape, layer.eps)
    out.load_state_dict(layer.state_dict())
    return out.requires_grad_(False)
