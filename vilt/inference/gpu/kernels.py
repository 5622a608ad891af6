"""Triton kernels for inference on an NVIDIA GPU: attention, and a product with gelu; see `options.kernels`.

Each kernel computes a row, or a sequence, from its own inputs alone and in one fixed order of summation, so a result
does not depend on the rest of the batch. Sums, norms and softmax are float32.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from vilt.inference.gpu.row_kernels import centre, gelu, layer_norm, round_to_float8

__all__ = ["attention", "centre", "fits_attention", "layer_norm", "linear_gelu", "round_to_float8"]

LOG2_E = 1.4426950408889634
MOST_SEQUENCES = 65535  # of the third dimension of a grid


@triton.jit
def _attention_kernel(
    q,
    k,
    v,
    out,
    query_ends,
    key_ends,
    q_stride,
    k_stride,
    v_stride,
    factor,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    block, head, pair = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(query_ends + pair).to(tl.int64)
    queries = tl.load(query_ends + pair + 1).to(tl.int64) - first
    if block * QUERIES >= queries:
        return
    first_key = tl.load(key_ends + pair).to(tl.int64)
    length = (tl.load(key_ends + pair + 1).to(tl.int64) - first_key).to(tl.int32)
    dim = tl.arange(0, D)
    row = block * QUERIES + tl.arange(0, QUERIES)
    is_query = row < queries
    query = tl.load(q + (first + row)[:, None] * q_stride + head * D + dim[None, :], is_query[:, None], other=0.0)
    key = tl.arange(0, KEYS)
    k_at = k + (first_key + key)[None, :] * k_stride + head * D + dim[:, None]
    v_at = v + (first_key + key)[:, None] * v_stride + head * D + dim[None, :]
    largest = tl.full((QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    mixed = tl.zeros((QUERIES, D), tl.float32)
    whole = length // KEYS * KEYS
    for begin in range(0, whole, KEYS):
        keys = tl.load(k_at + begin * k_stride)  # (D, KEYS)
        values = tl.load(v_at + begin * v_stride)  # (KEYS, D)
        scores = tl.dot(query, keys)
        top = tl.maximum(largest, tl.max(scores, 1) * factor)
        weights = tl.exp2(scores * factor - top[:, None])
        before = tl.exp2(largest - top)
        total = total * before + tl.sum(weights, 1)
        mixed = tl.dot(weights.to(values.dtype), values, mixed * before[:, None])
        largest = top
    if whole < length:
        real = whole + key < length
        keys = tl.load(k_at + whole * k_stride, real[None, :], other=0.0)
        values = tl.load(v_at + whole * v_stride, real[:, None], other=0.0)
        scores = tl.where(real[None, :], tl.dot(query, keys), float("-inf"))
        top = tl.maximum(largest, tl.max(scores, 1) * factor)
        weights = tl.exp2(scores * factor - top[:, None])
        before = tl.exp2(largest - top)
        total = total * before + tl.sum(weights, 1)
        mixed = tl.dot(weights.to(values.dtype), values, mixed * before[:, None])
    mixed = mixed / total[:, None]
    at = out + ((first + row) * HEADS + head)[:, None] * D + dim[None, :]
    tl.store(at, mixed.to(out.dtype.element_ty), is_query[:, None])


def fits_attention(q: Tensor, ends: Tensor) -> bool:
    """Return whether `attention` takes queries (T, heads, d) of as many sequences as `ends` has, less one."""
    size = q.shape[-1]
    return size >= 16 and size & (size - 1) == 0 and len(ends) - 1 <= MOST_SEQUENCES


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query_ends: Tensor,
    key_ends: Tensor,
    longest: tuple[int, int],
    blocks: tuple[int, int, int, int] = (64, 32, 4, 4),
) -> Tensor:
    """Return the attention of sequences that lie end to end, each by itself.

    Args:
        q: bfloat16 (queries, heads, d), its heads contiguous within a row; d is a power of two from 16 on.
        k: bfloat16 (T, heads, d), likewise.
        v: bfloat16 (T, heads, d), likewise.
        query_ends: int32 (n + 1,), 0 and where the queries of each sequence end.
        key_ends: int32 (n + 1,), the same of the keys.
        longest: The most queries and the most keys of a sequence.
        blocks: Queries and keys of a tile, warps, and stages of the pipeline.

    Returns:
        bfloat16 (queries, heads, d); rows after the last sequence are not written.
    """
    count, heads, size = q.shape
    out = torch.empty((count, heads, size), dtype=q.dtype, device=q.device)
    queries, keys, warps, stages = blocks
    grid = (triton.cdiv(longest[0], queries), heads, len(query_ends) - 1)
    factor = size**-0.5 * LOG2_E
    strides = (q.stride(0), k.stride(0), v.stride(0))
    _attention_kernel[grid](
        q,
        k,
        v,
        out,
        query_ends,
        key_ends,
        *strides,
        factor,
        heads,
        size,
        queries,
        keys,
        num_warps=warps,
        num_stages=stages,
    )
    return out


@triton.jit
def _tile(tile, tiles_m, tiles_n, GROUP: tl.constexpr):
    """Return the row and column of a tile, in an order that reads again what the cache still holds."""
    of_group = GROUP * tiles_n
    group = tile // of_group
    first = group * GROUP
    size = min(tiles_m - first, GROUP)
    return first + (tile % size), (tile % of_group) // size


@triton.jit(do_not_specialize=["M"])  # else there were one for multiples of 16, to be compiled by itself
def _linear_gelu_kernel(
    a_tiles,
    b_tiles,
    out_tiles,
    bias,
    M,
    N,
    K,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    tiles_m, tiles_n, steps = tl.cdiv(M, BM), tl.cdiv(N, BN), tl.cdiv(K, BK)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, PROGRAMS, flatten=True):
        row, col = _tile(tile, tiles_m, tiles_n, 8)
        total = tl.zeros((BM, BN), tl.float32)
        for step in range(steps):
            a = a_tiles.load([row * BM, step * BK])
            b = b_tiles.load([col * BN, step * BK])
            total = tl.dot(a, b.T, total)
        halves = tl.permute(tl.reshape(total, (BM, 2, BN // 2)), (0, 2, 1))
        left, right = tl.split(halves)
        at = col * BN + tl.arange(0, BN // 2)
        left += tl.load(bias + at)[None, :]
        out_tiles.store([row * BM, col * BN], gelu(left).to(out_tiles.dtype))
        right += tl.load(bias + at + BN // 2)[None, :]
        out_tiles.store([row * BM, col * BN + BN // 2], gelu(right).to(out_tiles.dtype))


def linear_gelu(
    x: Tensor, weight: Tensor, bias: Tensor, blocks: tuple[int, int, int, int, int, int] = (128, 128, 64, 4, 3, 2)
) -> Tensor:
    """Return gelu(x W^T + b), the exact gelu with erf, without a pass over memory of its own.

    Args:
        x: bfloat16 (T, in), contiguous.
        weight: bfloat16 (out, in), contiguous; `out` a multiple of the tile's columns.
        bias: float32 (out,).
        blocks: Rows, columns and depth of a tile, warps, stages of the pipeline, and programs of a multiprocessor.

    Returns:
        bfloat16 (T, out).
    """
    from triton.tools.tensor_descriptor import TensorDescriptor

    rows, cols, depth, warps, stages, each = blocks
    (count, width), size = x.shape, len(weight)
    out = torch.empty((count, size), dtype=x.dtype, device=x.device)
    if not count:
        return out
    programs = each * _multiprocessors(x.device)  # the same for every batch: one more number is one more compilation
    tiles = triton.cdiv(count, rows) * triton.cdiv(size, cols)
    _linear_gelu_kernel[(min(programs, tiles),)](
        TensorDescriptor.from_tensor(x, [rows, depth]),
        TensorDescriptor.from_tensor(weight, [cols, depth]),
        TensorDescriptor.from_tensor(out, [rows, cols // 2]),
        bias,
        count,
        size,
        width,
        rows,
        cols,
        depth,
        programs,
        num_warps=warps,
        num_stages=stages,
    )
    return out


@cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
