"""Attention without masks: for sequences of one length, and for packed ones of many lengths."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vilt.inference import compat
from vilt.inference.softmax import softmax_


def same_length(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Attend within each of n sequences.

    In bfloat16 on a CPU this is two matrix products and a softmax, a sequence at a time: its scores stay in the cache,
    and there the fused kernel of torch takes more than twice the time.

    Args:
        q: (n, queries, heads, d).
        k: (n, length, heads, d).
        v: The same.
        dropout: The probability, in training.

    Returns:
        (n, queries, heads, d).
    """
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (n, heads, length, d)
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or dropout or torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, None, dropout).transpose(1, 2)
    mixed = torch.empty_like(q)  # laid out as q
    for queries, keys, values, out in zip(q, k, v, mixed, strict=True):
        scores = torch.bmm(queries, keys.mT)  # (heads, queries, length)
        softmax_(scores, q.shape[-1] ** -0.5)
        torch.bmm(scores, values, out=out)
    return mixed.transpose(1, 2)


def has_packed(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether `packed` runs there."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and compat.varlen_kernel() is not None


def packed(q: Tensor, k: Tensor, v: Tensor, query_ends: Tensor, key_ends: Tensor, most: tuple[int, int]) -> Tensor:
    """Attend within many sequences that lie end to end, in one call.

    Args:
        q: (queries, heads, d).
        k: (T, heads, d).
        v: The same.
        query_ends: int32 (n + 1,), 0 and where the queries of each sequence end.
        key_ends: The same of keys.
        most: The longest of each.

    Returns:
        (queries, heads, d).
    """
    kernel = compat.varlen_kernel()
    assert kernel is not None
    return kernel(q, k, v, query_ends, key_ends, *most)
