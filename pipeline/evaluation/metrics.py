"""Compute metrics: ranks of true candidates, shares, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
NEVER = np.iinfo(np.int64).max  # the rank of what was not scored


class Block(NamedTuple):
    """Some pairs of the matrix of images and texts.

    Attributes:
        images: The indices of the images, int64 (n,).
        texts: The indices of the texts, int64 (n,).
        scores: Their scores, float32 (n,), NaN if there is none.
    """

    images: Indices
    texts: Indices
    scores: npt.NDArray[np.float32]


class Ranks(NamedTuple):
    """Ranks from 1, int64; `NEVER` if the true candidates have no score.

    Attributes:
        of_images: The rank of each image's best true text among all texts, (images,).
        of_texts: The rank of each text's true image among all images, (texts,).
    """

    of_images: Indices
    of_texts: Indices


@dataclass(frozen=True)
class Metric:
    """A share with its interval.

    Attributes:
        name: What it is called.
        value: The share, 0 to 1.
        low: The lower end of its 95 % interval.
        high: The upper end.
        count: How many things it is a share of.
        of: What these things are.
    """

    name: str
    value: float
    low: float
    high: float
    count: int
    of: str


def ranks(blocks: Callable[[], Iterable[Block]], image_of: Indices, images: int) -> Ranks:
    """Return the ranks in a matrix that is read twice, in blocks of any shape that hold every pair once.

    A rank is 1 + the number of candidates that are not true and score at least as high: of equal scores the false ones
    come first, so a model that gives all pairs one score ranks last. Memory grows with images + texts, not with their
    product.

    Args:
        blocks: Reads the matrix.
        image_of: The true image of each text, int64 (texts,); an image may have several texts.
        images: How many images there are.
    """
    best_of_text = np.full(len(image_of), -np.inf, np.float32)
    for block in blocks():
        true = image_of[block.texts] == block.images
        best_of_text[block.texts[true]] = np.where(np.isnan(block.scores[true]), -np.inf, block.scores[true])
    best_of_image = np.full(images, -np.inf, np.float32)
    np.maximum.at(best_of_image, image_of, best_of_text)
    above_images, above_texts = np.zeros(images, np.int64), np.zeros(len(image_of), np.int64)
    for block in blocks():
        false = image_of[block.texts] != block.images
        above_images += np.bincount(
            block.images[false & (block.scores >= best_of_image[block.images])], minlength=images
        )
        above_texts += np.bincount(
            block.texts[false & (block.scores >= best_of_text[block.texts])], minlength=len(image_of)
        )
    return Ranks(
        np.where(np.isneginf(best_of_image), NEVER, 1 + above_images),
        np.where(np.isneginf(best_of_text), NEVER, 1 + above_texts),
    )


def share(
    name: str, values: npt.NDArray[np.float64], units: npt.NDArray[Any], of: str, resamples: int, seed: int
) -> Metric:
    """Return the mean of some values, with the interval of the bootstrap: its percentiles 2.5 and 97.5.

    Args:
        name: The name of the metric.
        values: 0 to 1, float64 (n,).
        units: Which unit each value belongs to, (n,). Whole units are drawn with replacement, since the values of one
            (the questions about an image) depend on one another.
        of: What the values are of.
        resamples: How many samples to draw.
        seed: Seed of the random numbers.
    """
    _, unit = np.unique(units, return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(len(sums), size=len(sums))
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, (2.5, 97.5))
    return Metric(name, float(np.mean(values)), float(low), float(high), len(values), of)
