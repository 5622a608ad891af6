"""The time of a first stage's search: of as many texts and images as the job has."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import ConfigError
from pipeline.planning.search import time_search
from pipeline.tables.rank_inputs.texts import RankTexts
from tests.pipeline.ranking.test_nearest import lists, prepared


def test_grows_with_the_images(tmp_path: Path) -> None:
    texts = prepared(tmp_path)
    few, many = time_search(texts, 9), time_search(texts, 9_000_000)
    assert few is not None
    assert many is not None
    assert (few.texts, few.images, few.length, few.n) == (5, 9, 4, 3), "one text is null"
    assert many.seconds > 100 * few.seconds > 0


def test_lengths_are_read_where_the_schema_does_not_tell(tmp_path: Path) -> None:
    texts = prepared(tmp_path, lists([[0.5, 1.5]] * 9), lists([[1.0, 2.0]] * 6))
    found = time_search(texts, 9)
    assert found is not None
    assert found.length == 2


def test_faults_of_vectors_are_found_before_the_job(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no vector"):
        time_search(prepared(tmp_path, lists([None, *[[1.0, 2.0]] * 8]), lists([[1.0, 2.0]] * 6)), 9)


def test_without_a_first_stage_there_is_none() -> None:
    assert time_search(RankTexts(pa.array([1]), ["a"], None), 9) is None
