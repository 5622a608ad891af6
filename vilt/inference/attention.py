"""Attention without masks: for sequences of one length, and for packed ones of many lengths."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vilt.inference.softmax import softmax_


@cache
def _packed_kernel() -> Callable[..., Any] | None:
    """Return torch's kernel for packed sequences, or None before torch 2.10.

    Split keys would make a pair's sums depend on its batch, so `num_splits=1` forbids them. torch 2.10 and 2.11 have
    no such argument, and their kernel splits keys only for grouped queries. The import takes a second, which only
    those with a GPU need.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    if "num_splits" not in inspect.signature(varlen_attn).parameters:
        return varlen_attn
    return partial(varlen_attn, num_splits=1)


def same_length(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """q (n, queries, heads, d), k and v (n, length, heads, d) -> (n, queries, heads, d): each of n sequences by itself.

    In bfloat16 on a CPU as two matrix products and a softmax, a sequence at a time: its scores stay in the cache, and
    there the fused kernel of torch takes more than twice the time.
    """
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (n, heads, length, d)
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or dropout or torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, None, dropout).transpose(1, 2)
    mixed = torch.empty_like(q)  # laid out as q
    for own, keys, values, out in zip(q, k, v, mixed, strict=True):
        scores = torch.bmm(own, keys.mT)  # (heads, queries, length)
        softmax_(scores, q.shape[-1] ** -0.5)
        torch.bmm(scores, values, out=out)
    return mixed.transpose(1, 2)


def has_packed(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `packed` runs there."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and _packed_kernel() is not None


def packed(q: Tensor, k: Tensor, v: Tensor, query_ends: Tensor, key_ends: Tensor, most: tuple[int, int]) -> Tensor:
    """q (queries, heads, d), k and v (T, heads, d) -> (queries, heads, d): many sequences end to end, in one call.

    query_ends, key_ends: int32 (n + 1,), 0 and where the queries and keys of each sequence end. most: the longest of
    each.
    """
    kernel = _packed_kernel()
    assert kernel is not None
    return kernel(q, k, v, query_ends, key_ends, *most)
