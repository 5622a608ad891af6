"""Time the search of a rank job's first stage, by products of as many numbers as its vectors have."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipeline.ranking.nearest import QUERIES, nearest
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.rank_inputs.vectors import WINDOW_ROWS

RUNS = 2  # of which the faster counts: the first may start threads


@dataclass(frozen=True)
class Search:
    """The search of a first stage, in the driver, before the model reads anything.

    Attributes:
        texts: Texts whose nearest images are found.
        images: Images that each is compared with.
        length: Numbers of a vector.
        n: How many images are kept of each text.
        seconds: How long it will take on a machine like this one.
    """

    texts: int
    images: int
    length: int
    n: int
    seconds: float


def time_search(texts: RankTexts, images: int) -> Search | None:
    """Read some of the vectors of images and compare them with vectors of texts; None if there is no first stage.

    Args:
        texts: The texts of the job.
        images: How many images it has.

    Raises:
        ConfigError: There are no vectors, or one cannot be compared with others.
    """
    stage, count = texts.first_stage, len(texts.readable)
    if stage is None:
        return None
    started = time.perf_counter()
    _, vectors = next(stage.images.read(), (None, np.empty((0, stage.images.length or 1), np.float32)))
    reading = (time.perf_counter() - started) / max(1, len(vectors))
    rng = np.random.default_rng(0)
    length, some = vectors.shape[1], min(QUERIES, count)
    queries = rng.standard_normal((some, length), dtype=np.float32)
    block = rng.standard_normal((min(WINDOW_ROWS, images), length), dtype=np.float32)
    fastest = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        nearest(queries, [block, block], stage.n)  # the second is joined with what the first has given
        fastest = min(fastest, (time.perf_counter() - started) / (2 * some * len(block)))
    return Search(count, images, length, stage.n, reading * images + fastest * count * images)
