"""A sample of pairs stands for all of them."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.common.errors import ConfigError
from pipeline.planning.rank_sample import sample_pairs
from pipeline.planning.timings import Timings
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts


def texts(count: int, candidates: Candidates | None = None) -> RankTexts:
    return RankTexts(pa.array(np.arange(count) + 100), [f"t{i}" for i in range(count)], candidates)


def test_many_texts() -> None:
    found = sample_pairs(texts(25_010), 5_000, 1_000, 0)
    assert (len(found.texts.ids), found.images, found.pairs) == (64, 16, 125_050_000)
    assert found.share == 25_010 / 64
    assert [f"t{i - 100}" for i in found.texts.ids.to_pylist()] == found.texts.texts
    assert Timings.of([(16, 2.0)]).scaled(found.share).per_row == pytest.approx(25_010 / 64 / 8)
    other = sample_pairs(texts(25_010), 5_000, 10_000, 1)
    assert other.images == 156
    assert other.texts.texts != found.texts.texts


def test_few_pairs_an_image() -> None:
    some = Candidates(pa.array([1, 2]), np.array([0, 1, 4]), np.array([0, 0, 1, 2]))
    found = sample_pairs(texts(3, some), 4, 1_000, 0)
    assert (len(found.texts.ids), found.images, found.pairs, found.share) == (1, 1_000, 4, 1.0)
    assert found.texts.candidates is None


def test_no_text_can_be_read() -> None:
    with pytest.raises(ConfigError, match="texts: no pair can be read: there is nothing to plan"):
        sample_pairs(RankTexts(pa.array([1]), [None], None), 5, 10, 0)
