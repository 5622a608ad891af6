"""Packing: indices that hold for every mix of pairs, and numbers that do not depend on the mix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gpu import data
from vilt import ViltConfig, ViltModel
from vilt.inference.embeddings import PixelProjection
from vilt.inference.packing import ROWS, Packed
from vilt.inference.pairs import MIN_THREAD_TOKENS, Pairs, spans, starts
from vilt.models.vilt.fast import FastVilt
from vilt.processing.grids import Grid

PATCH = 4
CONFIG = ViltConfig(
    vocab_size=30,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=32,
    image_size=16,
    patch_size=PATCH,
)


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


@given(mixes())
def test_fill_lays_out_each_pairs_own_text_and_image(pairs: Pairs) -> None:
    batch = Packed(pairs)
    text = batch.text_order[:, None].float()  # each text row says which token it is
    image = -torch.arange(1 + len(pairs.patches))[:, None].float()  # each image row which patch; 0 is the [CLS]
    filled = batch.fill(text, image)[:, 0].tolist()
    begin = 0
    for pair in batch.order:
        length, place = pairs.text_lengths[pair], pairs.image_index[pair]
        first_token, first_patch = starts(pairs.text_lengths)[pair], starts(pairs.grid_sizes)[place]
        expected = [*range(first_token, first_token + length), 0]
        expected += [-(1 + first_patch + i) for i in range(pairs.grids[place].patches)]
        assert filled[begin : begin + len(expected)] == expected
        begin += len(expected)
    assert begin == pairs.lengths.sum() == len(filled) - batch.filler
    assert not any(filled[begin:])
    assert len(filled) % ROWS == 0


@torch.inference_mode()
@settings(deadline=None)
@given(mixes())
def test_a_pair_alone_gives_the_same_numbers(pairs: Pairs) -> None:
    torch.manual_seed(0)
    published = ViltModel(CONFIG).eval()
    model = FastVilt(published).eval()
    convolution = published.embeddings.patch_embeddings.projection
    projection = PixelProjection(convolution, (0.5, 0.4, 0.3), (0.5, 0.6, 0.7))
    images = model.embed_images(pairs, projection)
    batch = Packed(pairs)
    together = model.pooled(batch, images)
    states = model.encoder(model.embed(batch, images), batch)
    everyone = model.pooler(model.norm(states)[batch.starts])
    assert (together - everyone).abs().max() < 1e-5  # the short last layer is the whole one, for [CLS]
    for row, pair in enumerate(batch.order):
        alone = model.pooled(Packed(pairs, np.array([pair])), images)
        assert (together[row] - alone[0]).abs().max() < 1e-5


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
