"""The softmax of bfloat16 on a CPU is torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vilt.inference.softmax import softmax_


@settings(deadline=None, max_examples=50)  # the first call compiles
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 300), st.sampled_from([0.01, 1, 30, 1000]))
def test_as_torch(heads: int, queries: int, keys: int, size: float) -> None:
    torch.manual_seed(heads + queries + keys)
    x = (torch.randn(heads, queries, keys) * size).bfloat16()
    exact = (x.double() / 8).softmax(-1)
    softmax_(x, 1 / 8)
    assert x.shape == exact.shape
    assert ((x.double() - exact).abs() <= exact * 2**-8 + 1e-7).all(), "within bfloat16's rounding"


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_not_finite_stays_so(value: str) -> None:
    x = torch.zeros(1, 2, 20, dtype=torch.bfloat16)
    x[0, 1, 7] = float(value)
    softmax_(x, 1.0)
    assert torch.equal(x[0, 0], torch.full((20,), 1 / 20, dtype=torch.bfloat16))
    assert not x[0, 1].isfinite().any()
