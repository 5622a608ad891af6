"""What an actor keeps of the scores of images with texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.error_codes import Failure
from pipeline.ranking.best_images import best_images, best_pairs
from pipeline.stages.ranker import CANDIDATES, Ranker
from pipeline.stages.task_columns import BatchFeatures
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts


class Known:
    """Stands in for the `Predictor`: the scores are known. An image's patch says which it is."""

    def __init__(self, scores: np.ndarray, part: int = 10**6) -> None:
        self.scores, self.part = scores, part
        self.preprocessor = self.tokenizer = self
        self.texts: list[str] = []

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.texts = texts
        return np.zeros(len(texts), np.int64), np.ones(len(texts), np.int64), np.zeros(len(texts), bool)

    def cross_scores(self, images: Any, *args: np.ndarray) -> Iterator[np.ndarray]:
        *_, text, image = args
        scores = self.scores[images.patches[image, 0], text]
        yield from (scores[i : i + self.part] for i in range(0, len(scores), self.part))


class Images:
    """Stands in for `Pairs`: the images `first`, `first + 1`, ..."""

    def __init__(self, first: int, count: int) -> None:
        self.patches = np.arange(first, first + count)[:, None]
        self.image_index, self.grid_sizes = np.arange(count), np.ones(count, np.int64)


@dataclass(frozen=True)
class Exact:
    """Stands in for the `FirstStage`."""

    recall_texts: np.ndarray


def rank(ranker: Ranker, first: int, count: int) -> tuple[list[bool], list[Any], list[Any]]:
    ids = pa.array(np.arange(first, first + count))
    batch = BatchFeatures(None, Images(first, count), 0, ids)  # type: ignore[arg-type]
    finite, (best, candidates) = ranker(batch, np.arange(count))
    return finite.tolist(), best.to_pylist(), candidates.to_pylist()


def of(scores: list[list[float]], top_k: int, candidates: Candidates | None = None, **keys: Any) -> Ranker:
    texts = RankTexts(pa.array(np.arange(len(scores[0])) + 50), [f"t{i}" for i in range(len(scores[0]))], candidates)
    return Ranker(Known(np.array(scores, np.float32), **keys), texts, top_k)  # type: ignore[arg-type]


@given(
    st.integers(1, 12).flatmap(
        lambda images: st.integers(1, 5).flatmap(
            lambda texts: st.lists(
                st.lists(st.integers(-2, 2), min_size=texts, max_size=texts), min_size=images, max_size=images
            )
        )
    ),
    st.integers(1, 4),
    st.data(),
)
@settings(deadline=None)
def test_no_best_image_is_missed(values: list[list[int]], top_k: int, data: st.DataObject) -> None:
    """Many ties, several actors, any order of images, and sets of candidates."""
    scores = np.array(values, np.float32)
    count, many = scores.shape
    row = st.lists(st.booleans(), min_size=many, max_size=many)
    wanted = np.array(data.draw(st.lists(row, min_size=count, max_size=count)))
    images, numbers = np.nonzero(wanted)
    distinct, begins = np.unique(images, return_index=True)
    some = Candidates(pa.array(distinct), np.append(begins, len(images)), numbers)
    chosen = data.draw(st.sampled_from([None, some]))
    wanted = np.ones_like(wanted) if chosen is None else wanted
    texts = RankTexts(pa.array(np.arange(many) + 50), [f"t{i}" for i in range(many)], chosen)
    actors = [Ranker(Known(scores), texts, top_k, lambda _: None) for _ in range(2)]  # type: ignore[arg-type]
    files = []
    for image in data.draw(st.permutations(range(count))):
        actor = actors[data.draw(st.integers(0, 1))]
        batch = BatchFeatures(None, Images(image, 1), top_k, pa.array([image]))  # type: ignore[arg-type]
        finite, (best, candidates) = actor(batch, np.array([0]))
        assert finite.all()
        chosen_texts = np.flatnonzero(wanted[image])
        order = chosen_texts[np.argsort(-scores[image, chosen_texts], kind="stable")][:top_k]
        assert [row["text_id"] for row in best[0].as_py()] == (order + 50).tolist()
        files.append((pa.array([image]), candidates))
    table = best_images(best_pairs(files, top_k, pa.int64()), texts, np.zeros(many, bool), pa.int64())
    for j, row in enumerate(table["best_images"].to_pylist()):
        chosen_images = np.flatnonzero(wanted[:, j])
        expected = chosen_images[np.argsort(-scores[chosen_images, j], kind="stable")][:top_k]
        assert [found["row_id"] for found in row] == expected.tolist()


@pytest.mark.parametrize("part", [1, 2, 100])
def test_pairs_are_counted_as_they_are_made(part: int) -> None:
    counted: list[int] = []
    ranker = of([[1.0, 2.0], [3.0, 4.0]], 1, part=part)
    ranker.count_pairs = counted.append
    _, best, _ = rank(ranker, 0, 2)
    assert [[one["text_id"] for one in row] for row in best] == [[51], [51]]
    assert (sum(counted), ranker.pairs, ranker.tokens) == (4, 4, 4 * 3)


def test_an_image_with_a_score_that_is_no_number() -> None:
    finite, _, candidates = rank(of([[1.0, float("nan")], [0.0, 0.0]], 2), 0, 2)
    assert finite == [False, True]
    assert (candidates[0], len(candidates[1])) == ([], 2)


def test_an_image_without_candidates_and_a_batch_without_images() -> None:
    only = Candidates(pa.array([1]), np.array([0, 1]), np.array([1]))
    finite, best, candidates = rank(of([[1.0, 2.0], [3.0, 4.0]], 2, only), 0, 2)
    assert (finite, best[0], candidates[0]) == ([True, True], [], [])
    assert [one["text_id"] for one in best[1]] == [51]
    assert rank(of([[1.0]], 1), 0, 0) == ([], [], [])


def test_texts_that_cannot_be_read_are_not_scored() -> None:
    texts = RankTexts(pa.array(range(4)), ["a", None, Failure("text_invalid", "byte 0xff"), " "], None)
    predictor = Known(np.ones((1, 4), np.float32))
    ranker = Ranker(predictor, texts, 4)  # type: ignore[arg-type]
    assert predictor.texts == ["a", "", "", " "]
    _, [best], _ = rank(ranker, 0, 1)
    assert [one["text_id"] for one in best] == [0]
    none = best_pairs([], 1, pa.int64())
    table = best_images(none, texts, np.array([True, False, False, False]), pa.int64())
    assert table["text"].to_pylist() == ["a", None, None, " "]
    assert table["text_truncated"].to_pylist() == [True, None, None, None]
    assert table["error"].to_pylist() == [None, "text_null", "text_invalid", "text_empty"]


def test_texts_that_are_read_with_all_images_as_well() -> None:
    """Their second numbers find the exact best images; the results hold candidates alone."""
    scores = np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 7.0]], np.float32)
    some = Candidates(pa.array([0, 1, 2]), np.array([0, 1, 2, 3]), np.array([0, 1, 1]))
    texts = RankTexts(pa.array([50, 51]), ["t0", "t1"], some, first_stage=Exact(np.array([1])))  # type: ignore[arg-type]
    assert texts.pairs(3) == 3 + 3
    ranker = Ranker(Known(scores[:, [0, 1, 1]]), texts, 2)  # type: ignore[arg-type]
    finite, best, candidates = rank(ranker, 0, 3)
    assert finite == [True] * 3
    assert [[one["text_id"] for one in row] for row in best] == [[50], [51], [51]]
    files = [(pa.array([image]), pa.array([row], CANDIDATES)) for image, row in enumerate(candidates)]
    pairs = best_pairs(files, 2, pa.int64())
    assert pairs.images_of(2).to_pylist() == [0, 1], "of all images"
    table = best_images(pairs, texts, np.zeros(2, bool), pa.int64())
    assert [[one["row_id"] for one in row] for row in table["best_images"].to_pylist()] == [[0], [1, 2]]


def test_all_scores_are_kept_for_an_evaluation() -> None:
    texts = RankTexts(pa.array([50, 51, 52]), ["t0", "", "t2"], None, all_scores=True)
    _, best, candidates = rank(Ranker(Known(np.array([[1.0, 3.0, 2.0]], np.float32)), texts, 1), 0, 1)  # type: ignore[arg-type]
    assert [(one["text_id"], one["score"]) for one in best[0]] == [(50, 1.0), (51, 3.0), (52, 2.0)]
    assert candidates == [[]]
    assert texts.fingerprint != replace(texts, all_scores=False).fingerprint
