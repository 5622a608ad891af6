"""Pairs before packing: parts hold every pair once, within the budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu import data
from tests.vilt.inference.mixes import mixes
from vilt.inference.pairs import MIN_THREAD_TOKENS, Pairs, spans, starts
from vilt.processing.grids import Grid


def test_starts_and_spans() -> None:
    assert starts(np.array([3, 1, 2])).tolist() == [0, 3, 4]
    assert spans(np.array([10, 0]), np.array([2, 3])).tolist() == [10, 11, 0, 1, 2]


@given(mixes(), st.integers(1, 60), st.integers(1, 4))
def test_cut_keeps_every_pair_once_within_the_budget(pairs: Pairs, budget: int, threads: int) -> None:
    parts = pairs.split_by_length(budget, threads=threads)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(pairs)))
    assert all(len(part) == 1 or pairs.lengths[part].sum() <= budget for part in parts)


@given(st.lists(st.integers(100, 260), min_size=1, max_size=200), st.integers(2, 16))
def test_threads_have_equal_work(lengths: list[int], threads: int) -> None:
    one = Grid(1, 1)
    texts, index = np.array(lengths) - 2, np.zeros(len(lengths), np.int64)
    pairs = Pairs(np.zeros(texts.sum(), np.int64), texts, np.zeros((1, 1), np.uint8), [one], index)
    tokens = [int(pairs.lengths[part].sum()) for part in pairs.split_by_length(3072, threads=threads)]
    assert sum(tokens) == sum(lengths)
    assert max(tokens) <= 3072
    if sum(lengths) < 2 * MIN_THREAD_TOKENS:
        assert len(tokens) == 1, "too little to share"
    elif sum(lengths) > threads * MIN_THREAD_TOKENS:
        assert len(tokens) >= threads
        assert max(tokens) - min(tokens) <= 2 * max(lengths) * (1 + len(tokens) // threads)


@pytest.mark.parametrize("texts", [1, 3])
@pytest.mark.parametrize("budget", [1, 700, 10**6])
def test_windows_hold_every_pair_once(texts: int, budget: int) -> None:
    pairs = data.inputs("vilt", 6, True, texts)
    pairs.image_index = np.random.default_rng(0).permutation(pairs.image_index)
    seen = []
    begin = starts(pairs.text_lengths)
    for chosen, part in pairs.windows(budget):
        seen += chosen.tolist()
        assert part.lengths.sum() <= budget or len(part) == 1
        assert np.array_equal(part.lengths, pairs.lengths[chosen])
        assert np.shares_memory(part.patches, pairs.patches)
        words = [pairs.token_ids[begin[i] : begin[i] + pairs.text_lengths[i]] for i in chosen]
        assert np.array_equal(part.token_ids, np.concatenate(words))
        assert [part.grids[i] for i in part.image_index] == [pairs.grids[i] for i in pairs.image_index[chosen]]
    assert sorted(seen) == list(range(len(pairs)))
