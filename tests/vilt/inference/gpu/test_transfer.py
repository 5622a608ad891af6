"""Windows of pairs, and arrays on their way to a device."""

import numpy as np
import pytest
import torch

from benchmarks.gpu import data
from vilt.inference.gpu.transfer import Uploader


@pytest.mark.parametrize("texts", [1, 3])
@pytest.mark.parametrize("budget", [1, 700, 10**6])
def test_windows_hold_every_pair_once(texts: int, budget: int) -> None:
    pairs = data.inputs("vilt", 6, True, texts)
    pairs.image_index = np.random.default_rng(0).permutation(pairs.image_index)
    seen = []
    starts = np.cumsum(pairs.text_lengths) - pairs.text_lengths
    for chosen, part in pairs.windows(budget):
        seen += chosen.tolist()
        assert part.lengths.sum() <= budget or len(part) == 1
        assert np.array_equal(part.lengths, pairs.lengths[chosen])
        assert np.shares_memory(part.patches, pairs.patches)
        words = [pairs.token_ids[starts[i] : starts[i] + pairs.text_lengths[i]] for i in chosen]
        assert np.array_equal(part.token_ids, np.concatenate(words))
        assert [part.grids[i] for i in part.image_index] == [pairs.grids[i] for i in pairs.image_index[chosen]]
    assert sorted(seen) == list(range(len(pairs)))


def test_arrays_arrive_as_they_are() -> None:
    uploader = Uploader(torch.device("cpu"), pinned=True)
    rows, indices = np.arange(12, dtype=np.uint8).reshape(3, 4), [np.arange(3), np.zeros(0, np.int64)]
    assert np.array_equal(uploader.rows(rows).numpy(), rows)
    assert [found.tolist() for found in uploader.indices(indices)] == [[0, 1, 2], []]
