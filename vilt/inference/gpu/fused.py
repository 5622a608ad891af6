"""The encoder for bfloat16 inference on a GPU, built from a published model and never trained.

It differs from `vilt.inference.encoder.Encoder` in where memory is read and written. A product adds to the residual in
place, inside the matrix product's own kernel. Its bias is left out there: the next norm adds the sum of the biases so
far to every row as it reads it. Queries, keys and values are one product, and gelu is computed where the product ends.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.inference import compat
from vilt.inference.encoder import Block, Encoder, Layout
from vilt.inference.gpu.options import kernels
from vilt.inference.linear import activation

GELU_COLUMNS, GELU_DEPTH = 128, 64  # of a tile of `linear_gelu`


class PackedLayout(Layout, Protocol):
    """Sequences end to end, see `vilt.inference.packing.Sequences`."""

    ends: Tensor
    longest: int


class Norm(NamedTuple):
    """A layer norm of `x + shift`."""

    weight: Tensor  # float32 (D,)
    bias: Tensor  # float32 (D,)
    eps: float

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> Norm:
        """Copy the weights of a published norm."""
        return cls(norm.weight.detach().float(), norm.bias.detach().float(), norm.eps)

    def __call__(self, x: Tensor, shift: Tensor) -> Tensor:
        """Return the norm of x (T, D) + shift, float32 (D,), in the dtype of x."""
        ours = kernels()
        if ours is not None and x.is_cuda:
            return ours.layer_norm(x, shift, self.weight, self.bias, self.eps)
        return F.layer_norm(x.float() + shift, self.weight.shape, self.weight, self.bias, self.eps).to(x.dtype)


class FusedBlock:
    """One transformer block. Its residual stream lacks the biases of the products that were added to it.

    Args:
        block: The block whose weights to use.
        own_attention: Whether to use our Triton kernel for attention, not torch's.
        dtype: Of the weights of products.
    """

    def __init__(self, block: Block, own_attention: bool, dtype: torch.dtype) -> None:
        attention, mlp = block.attention, block.mlp
        self.pre_norm, self.heads, self.own_attention = block.pre_norm, attention.heads, own_attention
        self.norm1, self.norm2 = Norm.of(block.norm1), Norm.of(block.norm2)
        self.width = attention.q.out_features  # heads * d, less than D in a layer with pruned heads
        self.qkv = torch.cat([attention.q.weight, attention.kv.weight]).detach().to(dtype)
        self.qkv_bias = None
        if attention.q.bias is not None:
            self.qkv_bias = torch.cat([attention.q.bias, attention.kv.bias]).detach().to(dtype)
        self.out, self.out_bias = attention.out.weight.detach().to(dtype), attention.out.bias.detach().float()
        self.up, self.up_bias = mlp.up.weight.detach().to(dtype), mlp.up.bias.detach().float()
        self.act = mlp.act.to(dtype) if isinstance(mlp.act, nn.Module) else mlp.act  # some have weights
        self.down, self.down_bias = mlp.down.weight.detach().to(dtype), mlp.down.bias.detach().float()

    def __call__(self, x: Tensor, shift: Tensor, layout: PackedLayout) -> tuple[Tensor, Tensor]:
        """Run the block.

        Args:
            x: (T, D), overwritten.
            shift: The sum of the biases that x lacks, float32 (D,).
            layout: Which tokens belong together.

        Returns:
            x after the block, and the biases that it lacks.
        """
        read = self.norm1(x, shift) if self.pre_norm else x
        q, k, v = self._heads(F.linear(read, self.qkv, self.qkv_bias))
        return self._rest(x, shift, self._attend(q, k, v, layout).flatten(-2))

    def one(self, x: Tensor, shift: Tensor, layout: PackedLayout) -> tuple[Tensor, Tensor]:
        """Run the block for one token of each sequence: (T, D) -> (n, D) and the biases that it lacks."""
        read = self.norm1(x, shift) if self.pre_norm else x
        q_bias, kv_bias = (None, None) if self.qkv_bias is None else self.qkv_bias.split([self.width, 2 * self.width])
        (q,) = self._heads(F.linear(layout.one(read), self.qkv[: self.width], q_bias))
        k, v = self._heads(F.linear(read, self.qkv[self.width :], kv_bias))
        return self._rest(layout.one(x), shift, self._attend_one(q, k, v, layout).flatten(-2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, layout: PackedLayout) -> Tensor:
        ours = self._own_kernels(q, layout)
        if ours is None:
            return layout.attend(q, k, v)
        return ours.attention(q, k, v, layout.ends, layout.ends, (layout.longest, layout.longest))

    def _attend_one(self, q: Tensor, k: Tensor, v: Tensor, layout: PackedLayout) -> Tensor:
        """Attend with one query of each sequence. The first use of torch's kernel imports its compiler, for seconds."""
        ours = self._own_kernels(q, layout)
        if ours is None:
            return layout.attend_one(q, k, v)
        each = torch.arange(len(q) + 1, dtype=torch.int32, device=q.device)
        return ours.attention(q, k, v, each, layout.ends, (1, layout.longest))

    def _own_kernels(self, q: Tensor, layout: PackedLayout) -> ModuleType | None:
        ours = kernels() if self.own_attention and q.is_cuda else None
        return ours if ours is not None and ours.fits_attention(q, layout.ends) else None

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """(T, c * D) -> c times (T, heads, d), views."""
        return tuple(part.unflatten(-1, (self.heads, -1)) for part in x.split(self.width, -1))

    def _rest(self, x: Tensor, shift: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """Add the attention's output and the MLP to x, in place."""
        x.addmm_(mixed, self.out.t())
        if self.pre_norm:
            shift = shift + self.out_bias
            x.addmm_(self._activated(self.norm2(x, shift)), self.down.t())
            return x, shift + self.down_bias
        x = self.norm1(x, self.out_bias)
        x.addmm_(self._activated(x), self.down.t())
        return self.norm2(x, self.down_bias), torch.zeros_like(shift)

    def _activated(self, x: Tensor) -> Tensor:
        """(T, D) -> act(x W^T + b), (T, intermediate)."""
        ours = kernels()
        if ours is not None and x.is_cuda and self.act == "gelu" and fits_gelu(x, self.up):
            return ours.linear_gelu(x, self.up, self.up_bias)
        out = F.linear(x, self.up, self.up_bias.to(x.dtype))
        return compat.gelu_(out) if self.act == "gelu" else activation(self.act)(out)


def fits_gelu(x: Tensor, weight: Tensor) -> bool:
    """Return whether `linear_gelu` takes these: whole tiles, on Hopper or later.

    The number of rows does not matter, although another kernel would be faster for few: rounding must not depend on it.
    """
    if len(weight) % GELU_COLUMNS or x.shape[1] % GELU_DEPTH or x.dtype != torch.bfloat16:
        return False
    return torch.cuda.get_device_capability(x.device) >= (9, 0)


class FusedEncoder(nn.Module):
    """The stack of blocks, as `Encoder`, for packed sequences.

    Args:
        encoder: The encoder whose weights to use.
        own_attention: Whether to use our Triton kernel for attention, not torch's.
        dtype: Of the weights of products; norms and the biases that norms add stay float32.
    """

    def __init__(self, encoder: Encoder, own_attention: bool = False, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.blocks = [FusedBlock(block, own_attention, dtype) for block in encoder.blocks]  # type: ignore[arg-type]
        self.eval()

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """(T, D), overwritten -> (T, D), after every layer."""
        shift = x.new_zeros(x.shape[1], dtype=torch.float32)
        for block in self.blocks:
            x, shift = block(x, shift, layout)
        return (x + shift).to(x.dtype)

    def forward_one(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """(T, D), overwritten -> (n, D), the last layer's output for one token of each sequence."""
        if not self.blocks:
            return layout.one(x)
        shift = x.new_zeros(x.shape[1], dtype=torch.float32)
        for block in self.blocks[:-1]:
            x, shift = block(x, shift, layout)
        x, shift = self.blocks[-1].one(x, shift, layout)
        return (x + shift).to(x.dtype)
