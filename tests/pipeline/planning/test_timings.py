"""Timings of pieces, and samples of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.timings import Timings

PIECES = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 9)), max_size=6)


def test_seconds_a_row() -> None:
    assert Timings.of([(2, 1.0), (8, 1.5)]).per_row == 0.25
    assert Timings.of(iter([(0, 1.0)])).per_row == 0.0
    assert Timings.of([]).per_row == 0.0


@given(PIECES, st.integers(0, 99))
def test_samples_are_of_whole_pieces(pieces: list[tuple[int, float]], seed: int) -> None:
    timings = Timings.of(pieces)
    drawn = timings.resampled(np.random.default_rng(seed))
    assert len(drawn.rows) == len(drawn.seconds) == len(pieces)
    assert set(zip(drawn.rows.tolist(), drawn.seconds.tolist(), strict=True)) <= set(pieces)
    assert (timings.rows.dtype, timings.seconds.dtype) == (np.int64, np.float64)


def test_samples_have_the_mean_of_the_pieces() -> None:
    timings, rng = Timings.of([(1, 0.1), (1, 0.3)]), np.random.default_rng(0)
    assert np.mean([timings.resampled(rng).per_row for _ in range(2000)]) == pytest.approx(0.2, abs=0.01)
