"""Triton kernels that read each row once and write it once: norms, rounding, pixels; see `options.kernels`."""

# mypy: allow-untyped-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

NORM_ROWS = 4  # rows that one program normalises
FLOAT8 = torch.float8_e4m3fn
FLOAT8_LARGEST = torch.finfo(FLOAT8).max


@triton.jit
def gelu(x):
    """Return the exact gelu by Abramowitz and Stegun's 7.1.26 for erfc: within 2e-7, half of erf's work."""
    size = tl.abs(x)
    t = tl.rsqrt(1.0 + 0.23164189 * size)  # 0.3275911 / sqrt(2)
    t *= t
    p = ((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736
    p = (p * t + 0.254829592) * t
    return tl.maximum(x, 0.0) - 0.5 * size * p * tl.exp2(-0.7213475204444817 * x * x)


@triton.jit(do_not_specialize=["rows"])  # else there were one for multiples of 16, to be compiled by itself
def _norm_kernel(x, shift, weight, bias, out, rows, eps, D: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, BLOCK)[None, :]
    real = col < D
    inside = (row < rows) & real
    value = tl.load(x + row * D + col, inside, other=0.0).to(tl.float32)
    value += tl.load(shift + col, real, other=0.0)
    mean = tl.sum(value, 1)[:, None] / D
    centred = tl.where(real, value - mean, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1)[:, None] / D + eps)
    result = centred * scale * tl.load(weight + col, real, other=0.0) + tl.load(bias + col, real, other=0.0)
    tl.store(out + row * D + col, result.to(out.dtype.element_ty), inside)


def layer_norm(x: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return the layer norm of `x + shift` over the last dimension.

    Args:
        x: bfloat16 (T, D), contiguous.
        shift: float32 (D,), added to every row before the norm.
        weight: float32 (D,).
        bias: float32 (D,).
        eps: Added to the variance.

    Returns:
        bfloat16 (T, D).
    """
    rows, width = x.shape
    out = torch.empty_like(x)
    if rows:
        grid = (triton.cdiv(rows, NORM_ROWS),)
        block = triton.next_power_of_2(width)
        _norm_kernel[grid](x, shift, weight, bias, out, rows, eps, width, block, NORM_ROWS, num_warps=4)
    return out


@triton.jit
def _round_kernel(x, codes, scales, LARGEST: tl.constexpr, GELU: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    col = tl.arange(0, BLOCK)
    real = col < D
    value = tl.load(x + row * D + col, real, other=0.0).to(tl.float32)
    if GELU:
        value = gelu(value)
    scale = tl.maximum(tl.max(tl.abs(value), 0), 1e-30) / LARGEST
    tl.store(codes + row * D + col, (value / scale).to(codes.dtype.element_ty), real)
    tl.store(scales + row, scale)


def round_to_float8(x: Tensor, through_gelu: bool = False) -> tuple[Tensor, Tensor]:
    """Round rows to 8-bit floats with a scale for each row, in one pass over memory.

    Args:
        x: bfloat16 (rows, n), contiguous.
        through_gelu: Whether to round gelu(x) instead.

    Returns:
        float8_e4m3fn (rows, n) and float32 (rows, 1), whose product is near x.
    """
    codes = torch.empty(x.shape, dtype=FLOAT8, device=x.device)
    scales = torch.empty((len(x), 1), dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(x.shape[1])
    if len(x):
        _round_kernel[(len(x),)](x, codes, scales, FLOAT8_LARGEST, through_gelu, x.shape[1], block, num_warps=4)
    return codes, scales


@triton.jit
def _centre_kernel(x, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, at < count, other=0).to(tl.float32)
    tl.store(out + at, (value - 127.5).to(out.dtype.element_ty), at < count)


def centre(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return uint8 pixels less 127.5, which is exact in bfloat16, in one pass over memory.

    Args:
        pixels: uint8, contiguous.
        dtype: Of the result.
    """
    out = torch.empty(pixels.shape, dtype=dtype, device=pixels.device)
    if pixels.numel():
        _centre_kernel[(triton.cdiv(pixels.numel(), 4096),)](pixels, out, pixels.numel(), 4096, num_warps=8)
    return out
