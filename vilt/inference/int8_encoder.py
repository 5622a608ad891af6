"""The encoder of `vilt.inference.encoder` in 8-bit integers: what only products read is rounded where it is made."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from vilt.inference.embeddings import PixelProjection
from vilt.inference.encoder import Block, Encoder, Mlp
from vilt.inference.int8 import Int8Linear, Rounded, blocks
from vilt.inference.linear import replace


class RoundingNorm(nn.LayerNorm):
    """A norm whose output products of integers alone read."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__(norm.normalized_shape, norm.eps)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Rounded:  # type: ignore[override]
        """(T, D) -> (T, D), rounded."""
        out = Rounded.empty(*x.shape)
        for rows in blocks(len(x)):
            out[rows].write(super().forward(x[rows]))
        return out


class Int8Mlp(nn.Module):
    """A `vilt.inference.encoder.Mlp` whose hidden tokens are there for some rows at a time.

    All of them would be four times the tokens that come in, more memory than caches hold, and than malloc keeps.
    """

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.up, self.down, self.act = Int8Linear(mlp.up), Int8Linear(mlp.down), mlp.act

    def forward(self, x: Tensor | Rounded, residual: Tensor) -> Tensor:
        """Compute as `Mlp.forward` does."""
        out = torch.empty_like(residual)
        for rows in blocks(len(x)):
            self.down.add(self.up(x[rows], self.act), residual[rows], out[rows])
        return out


def to_int8(encoder: Encoder) -> None:
    """Replace linear layers, and what is around them, in place."""
    for block in encoder.blocks:
        assert isinstance(block, Block)
        replace(block.attention, Int8Linear)
        block.mlp = Int8Mlp(block.mlp)  # type: ignore[assignment]
        if block.pre_norm:
            block.norm1, block.norm2 = RoundingNorm(block.norm1), RoundingNorm(block.norm2)


class Int8PixelProjection(nn.Module):
    """A `vilt.inference.embeddings.PixelProjection` whose weights have 8 bits; pixels are integers already."""

    def __init__(self, projection: PixelProjection) -> None:
        super().__init__()
        linear = deepcopy(projection.linear)
        linear.bias.add_(linear.weight.sum(1), alpha=0.5)  # the weights are for pixel - 127.5, codes are pixel - 128
        self.linear = Int8Linear(linear)

    def forward(self, patches: Tensor) -> Tensor:
        """Compute as `PixelProjection.forward` does."""
        return self.linear(Rounded(patches, torch.ones(len(patches))))
