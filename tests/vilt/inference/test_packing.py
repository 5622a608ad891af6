"""Packing: indices that hold for every mix of pairs, and numbers that do not depend on the mix."""

import numpy as np
import torch
from hypothesis import given, settings

from tests.vilt.inference.mixes import PATCH, mixes
from vilt import ViltConfig, ViltModel
from vilt.inference.embeddings import PixelProjection
from vilt.inference.packing import ROWS, Packed
from vilt.inference.pairs import Pairs, starts
from vilt.models.vilt.fast import FastVilt

CONFIG = ViltConfig(
    vocab_size=30,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=32,
    image_size=16,
    patch_size=PATCH,
)


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
