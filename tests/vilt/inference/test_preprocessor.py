"""Pictures -> patches, without weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vilt.processing.files import noise, saved
from vilt import ViTConfig
from vilt.common.errors import CheckpointError
from vilt.inference.preprocessor import ImagePreprocessor, patch_side, tokenizer_settings
from vilt.processing.errors import ImageError
from vilt.processing.images import ViltImageProcessor, ViTImageProcessor
from vilt.processing.resample import patchify
from vilt.processing.tokenizer.tokenizer import SPECIAL_TOKENS, ViltTokenizer

IMAGES = ViltImageProcessor(size={"shortest_edge": 64})
PREPROCESSOR = ImagePreprocessor(IMAGES, 32)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (300, 200), (31, 90)])
def test_the_grid_is_known_before_the_picture_is_decoded(height: int, width: int) -> None:
    data = saved(noise(height, width), "PNG")
    grid = PREPROCESSOR.grid_of_bytes(data)
    patches, found = PREPROCESSOR.patches(data)
    assert found == grid == PREPROCESSOR.grid(height, width)
    assert (patches.shape, patches.dtype) == ((grid.patches, PREPROCESSOR.rows.width), np.uint8)
    assert np.array_equal(PREPROCESSOR.patches_of_bytes(data), patches)
    assert np.array_equal(patches, patchify(IMAGES.resize(data), 32))


def test_limits_and_damage() -> None:
    data = saved(noise(40, 50), "PNG")
    for read in (PREPROCESSOR.grid_of_bytes, PREPROCESSOR.patches_of_bytes):
        with pytest.raises(ImageError, match="image_bomb: 50x40 pixels, more than the 1999 allowed"):
            read(data, 1999)
        with pytest.raises(ImageError, match="image_unsupported"):
            read(b"<html>")


def test_bytes_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """In notebooks as in jobs."""
    monkeypatch.setattr("vilt.inference.preprocessor.DECODE_SECONDS", 0.001)
    with pytest.raises(ImageError, match="image_slow"):
        PREPROCESSOR.patches(saved(noise(1500, 1500), "TIFF"))


def test_pairs_of_images_alone() -> None:
    pairs = PREPROCESSOR.image_pairs([noise(64, 64), noise(64, 96)])
    assert (pairs.text_lengths.tolist(), pairs.image_index.tolist(), len(pairs.token_ids)) == ([0, 0], [0, 1], 0)
    assert [grid.patches for grid in pairs.grids] == [4, 6]
    assert len(pairs.patches) == 10
    ids, lengths, cut = PREPROCESSOR.tokens(["a", "b"])
    assert (ids.tolist(), lengths.tolist(), cut.tolist()) == ([], [0, 0], [False, False])


def test_settings_tell_preprocessors_apart() -> None:
    same = ImagePreprocessor(ViltImageProcessor(size={"shortest_edge": 64}), 32)
    assert same.settings() == PREPROCESSOR.settings()
    for other in (
        ImagePreprocessor(IMAGES, 16),
        ImagePreprocessor(ViltImageProcessor(size={"shortest_edge": 96}), 32),
        ImagePreprocessor(ViTImageProcessor(), 32),
    ):
        assert other.settings() != PREPROCESSOR.settings()
    words = [*SPECIAL_TOKENS, "red"]
    first, again, longer, other_words = (
        tokenizer_settings(ViltTokenizer.from_vocabulary(some, max_length=length))
        for some, length in ((words, 40), (words, 40), (words, 50), ([*words, "star"], 40))
    )
    assert first == again
    assert len({first, longer, other_words}) == 3


def test_patches_are_square_and_of_three_colours() -> None:
    assert patch_side(ViTConfig(patch_size=16)) == patch_side(ViTConfig(patch_size=(16, 16))) == 16
    with pytest.raises(CheckpointError) as caught:
        patch_side(ViTConfig(patch_size=(16, 32)))
    assert str(caught.value) == "patch_size 16x32: predictors read square patches; use the model's own forward"
    with pytest.raises(CheckpointError, match="num_channels is 1: predictors read 3"):
        patch_side(ViTConfig(num_channels=1))
