"""Attention of sequences of one length, and of packed ones."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from tests.vilt.inference.test_packing import mixes
from vilt.inference import attention, compat
from vilt.inference.packing import ROWS, Packed
from vilt.inference.pairs import Pairs


def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t.float().transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("queries", [1, 13])
def test_sequences_of_one_length(dtype: torch.dtype, close: float, queries: int) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(5, length, 3, 16).to(dtype) for length in (queries, 13, 13))
    with torch.inference_mode():
        assert (attention.same_length(q, k, v).float() - reference(q, k, v)).abs().max() < close
    q.requires_grad_()
    attention.same_length(q, k, v).sum().backward()
    assert q.grad is not None


def one_by_one(
    q: Tensor, k: Tensor, v: Tensor, query_ends: Tensor, key_ends: Tensor, *most: int, num_splits: int
) -> Tensor:
    """What stands in for the kernel, which only GPUs have: a loop with its arguments."""
    assert query_ends.dtype == key_ends.dtype == torch.int32
    assert most == (int(query_ends.diff().max()), int(key_ends.diff().max()))
    assert num_splits == 1
    split = [t.tensor_split(ends[1:-1].long()) for t, ends in ((q, query_ends), (k, key_ends), (v, key_ends))]
    return torch.cat([reference(*(t[None] for t in part))[0] for part in zip(*split, strict=True)])


@given(mixes())
@settings(max_examples=25, deadline=None)
def test_packed_in_one_call(pairs: Pairs) -> None:
    batch = Packed(pairs)
    count = int(batch.ends[-1])
    q, k, v = (torch.randn(count + batch.filler, 3, 16) for _ in range(3))
    assert len(q) % ROWS == 0
    each, first = batch.attend(q, k, v), batch.attend_one(batch.one(q), k, v)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compat, "varlen_kernel", lambda: partial(one_by_one, num_splits=1))
        patch.setattr(attention, "has_packed", lambda *_: True)
        q, k, v = (t[:count] for t in (q, k, v))  # the kernel leaves out rows after the last sequence
        assert (batch.attend(q, k, v) - each[:count]).abs().max() < 1e-5
        assert (batch.attend_one(batch.one(q), k, v) - first).abs().max() < 1e-5
