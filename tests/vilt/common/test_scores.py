"""Logits become scores without overflow, and the best are in a fixed order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vilt.common.scores import sigmoid, softmax, top

LOGITS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-(2.0**99), 2.0**99, width=32)
)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 5)), elements=st.sampled_from([0.0, 1.0, 2.0])),
    st.integers(1, 7),
)
def test_the_best_are_those_of_a_sort(scores: np.ndarray, k: int) -> None:
    indices, best = top(scores, k)
    for row, found, values in zip(scores, indices, best, strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        assert found.tolist() == expected
        assert values.tolist() == row[expected].tolist()


@given(LOGITS)
def test_softmax(logits: np.ndarray) -> None:
    with np.errstate(over="raise", invalid="raise"):
        found = softmax(logits)
    assert found.dtype == logits.dtype
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    best = np.take_along_axis(found, logits.argmax(-1)[:, None], 1)[:, 0]
    assert (best == found.max(-1)).all()


@given(LOGITS)
def test_sigmoid(logits: np.ndarray) -> None:
    with np.errstate(over="raise", invalid="raise"):
        found = sigmoid(logits)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found + sigmoid(-logits), 1, rtol=1e-5)
    assert sigmoid(np.float64(0)) == 0.5
