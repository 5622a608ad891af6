"""From outcomes to metrics: ranks of true candidates, recall, shares, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NEVER = np.iinfo(np.int64).max  # the rank of what was not scored


class Block(NamedTuple):
    """Some pairs of the matrix of images and texts. images, texts: int64 (n,), their places. scores: float32 (n,), NaN
    where there is none.
    """

    images: np.ndarray
    texts: np.ndarray
    scores: np.ndarray


class Ranks(NamedTuple):
    """int64. of_images (images,): the rank of the best true text among all texts. of_texts (texts,): the rank of the
    true image among all images. From 1; `NEVER` where the true ones have no score.
    """

    of_images: np.ndarray
    of_texts: np.ndarray


@dataclass(frozen=True)
class Metric:
    """A share, 0 to 1, its 95 % interval, and the number of what it is a share of."""

    name: str
    value: float
    low: float
    high: float
    count: int
    of: str


def ranks(blocks: Callable[[], Iterable[Block]], image_of: np.ndarray, images: int) -> Ranks:
    """The ranks in a matrix that streams past twice, in blocks of any shape that hold every pair once.

    image_of: int64 (texts,), the true image of each text; an image may have several. A rank is 1 + the number of
    candidates that are not true and score at least as high: of equal scores the false ones come first, so a model that
    gives all pairs one score ranks last. Memory grows with images + texts, not with their product.
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


def share(name: str, values: np.ndarray, units: np.ndarray, of: str, resamples: int, seed: int) -> Metric:
    """The mean of `values` (n,), with the interval of the bootstrap (percentiles 2.5 and 97.5).

    units: int64 (n,), which unit each value belongs to. Whole units are drawn with replacement, since the values of one
    (the questions about an image) go together.
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
