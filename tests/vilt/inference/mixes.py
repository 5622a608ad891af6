"""Pairs of mixed lengths, for tests."""

import numpy as np
from hypothesis import strategies as st

from vilt.inference.pairs import Pairs
from vilt.processing.grids import Grid

PATCH = 4


@st.composite
def mixes(draw: st.DrawFn) -> Pairs:
    """Pairs of mixed lengths, several of which may read one image."""
    grids = draw(st.lists(st.builds(Grid, st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4))
    texts = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, len(grids) - 1)), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    lengths = np.array([length for length, _ in texts], dtype=np.int64)
    return Pairs(
        rng.integers(0, 30, lengths.sum()),
        lengths,
        rng.integers(0, 256, (sum(g.patches for g in grids), 3 * PATCH**2), dtype=np.uint8),
        grids,
        np.array([image for _, image in texts], dtype=np.int64),
    )
