"""Ranks against a computation over the whole matrix; intervals against their theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.metrics import NEVER, Block, ranks, share


@st.composite
def matrices(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores (images, texts), with ties and images without scores, and the true image of each text."""
    images = draw(st.integers(1, 6))
    image_of = [*range(images), *draw(st.lists(st.integers(0, images - 1), max_size=8))]
    values = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=len(image_of), max_size=len(image_of))
    matrix = np.array([draw(values) for _ in range(images)], np.float32)
    for image in draw(st.sets(st.integers(0, images - 1), max_size=2)):
        matrix[image] = np.nan
    return matrix, np.array(draw(st.permutations(image_of)))


def rank(scores: np.ndarray, true: np.ndarray) -> int:
    """The definition: false candidates that score at least as high as the best true one, and one more."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = scores[true].max()
    return NEVER if np.isneginf(best) else 1 + int((scores[~true] >= best).sum())


@settings(deadline=None)
@given(matrices(), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_ranks_are_those_of_the_whole_matrix(case: tuple[np.ndarray, np.ndarray], size: int, seed: int) -> None:
    matrix, image_of = case
    order = np.random.default_rng(seed).permutation(matrix.size)
    images, texts = np.divmod(order, matrix.shape[1])
    blocks = [
        Block(images[i : i + size], texts[i : i + size], matrix[images[i : i + size], texts[i : i + size]])
        for i in range(0, matrix.size, size)
    ]
    found = ranks(lambda: blocks, image_of, len(matrix))
    assert found.of_images.tolist() == [rank(row, image_of == i) for i, row in enumerate(matrix)]
    every = np.arange(len(matrix))
    assert found.of_texts.tolist() == [rank(column, every == image_of[j]) for j, column in enumerate(matrix.T)]


def test_one_score_for_all_pairs_ranks_last() -> None:
    blocks = [Block(np.repeat([0, 1, 2], 3), np.tile([0, 1, 2], 3), np.zeros(9, np.float32))]
    found = ranks(lambda: blocks, np.array([0, 1, 2]), 3)
    assert found.of_images.tolist() == found.of_texts.tolist() == [3, 3, 3]


def test_the_interval_is_the_binomial_one_where_units_are_alone() -> None:
    values = (np.arange(2000) < 1400).astype(float)
    found = share("accuracy", values, np.arange(2000), "questions", 2000, 0)
    error = 1.96 * np.sqrt(0.7 * 0.3 / 2000)
    assert found.value == 0.7
    assert found.low == pytest.approx(0.7 - error, abs=0.003)
    assert found.high == pytest.approx(0.7 + error, abs=0.003)
    assert found == share("accuracy", values, np.arange(2000), "questions", 2000, 0), "the seed decides"


def test_values_of_one_unit_go_together() -> None:
    values = np.repeat((np.arange(200) < 140).astype(float), 10)
    alone = share("a", values, np.arange(2000), "questions", 500, 0)
    together = share("a", values, np.repeat(np.arange(200), 10), "questions", 500, 0)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    one = share("a", values, np.zeros(2000, int), "questions", 500, 0)
    assert (one.low, one.high) == (one.value, one.value)
