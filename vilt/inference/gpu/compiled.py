"""The encoder with all but attention through `torch.compile`, for a GPU.

Two functions of tensors are compiled, once for all blocks and for any number of tokens. Attention stays a kernel of its
own between them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vilt.inference.encoder import Block, Encoder, Layout


def before(block: Block, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(T, D) -> queries, keys and values, (T, heads, d) each."""
    read = block.norm1(x) if block.pre_norm else x
    attention = block.attention
    k, v = attention.kv(read).chunk(2, -1)
    q, k, v = (t.unflatten(-1, (attention.heads, -1)) for t in (attention.q(read), k, v))
    return q, k, v


def after(block: Block, x: Tensor, mixed: Tensor) -> Tensor:
    """(T, D) and the attention's output, (T, heads, d) -> (T, D)."""
    x = block.attention.out.add(mixed.flatten(-2), x)
    x = x if block.pre_norm else block.norm1(x)
    read = block.norm2(x) if block.pre_norm else x
    x = block.mlp.down.add(block.mlp.up(read, block.mlp.act), x)
    return x if block.pre_norm else block.norm2(x)


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is compiled, for any number of tokens, when it is first called."""
    return torch.compile(function, dynamic=True)


class CompiledEncoder(nn.Module):
    """The stack of blocks, as `Encoder`, for packed sequences."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.blocks = encoder.blocks
        self.eval()

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (T, D), after every layer."""
        for block in self.blocks:
            x = compiled(after)(block, x, layout.attend(*compiled(before)(block, x)))
        return x

    def forward_one(self, x: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (n, D), the last layer's output for one token of each sequence."""
        if not len(self.blocks):
            return layout.one(x)
        for block in self.blocks[:-1]:
            x = compiled(after)(block, x, layout.attend(*compiled(before)(block, x)))
        last: Block = self.blocks[-1]  # type: ignore[assignment]
        return last.forward_one(x, layout)
