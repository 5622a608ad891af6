"""The encoder of a published model with what stands around attention through `torch.compile`, for a GPU.

What is compiled are two pure functions of tensors, once for all blocks and for any number of tokens; attention stays a
kernel of its own between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vilt.encoder import Block, Encoder
from vilt.fused import PackedLayout


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
    """Compile a function for any number of tokens, when it is first called."""
    return torch.compile(function, dynamic=True)


class CompiledEncoder(nn.Module):
    """The stack of blocks, as `Encoder`, for packed sequences."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.blocks = encoder.blocks
        self.eval()

    def forward(self, x: Tensor, layouts: Iterable[PackedLayout]) -> list[Tensor]:
        """(T, D), and a layout for each layer -> the last layer's output alone."""
        for block, layout in zip(self.blocks, layouts, strict=True):
            x = compiled(after)(block, x, layout.attend(*compiled(before)(block, x)))
        return [x]

    def forward_one(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """(T, D) -> (n, D), the last layer's output for one token of each sequence."""
        for block in self.blocks[:-1]:
            x = compiled(after)(block, x, layout.attend(*compiled(before)(block, x)))
        last: Block = self.blocks[-1]  # type: ignore[assignment]
        return last.forward_one(x, layout)
