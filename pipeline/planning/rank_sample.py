"""A sample of the pairs of a rank job: some images with some texts, in place of each image with thousands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.common.errors import ConfigError
from pipeline.tables.rank_inputs.texts import RankTexts

TEXTS, LEAST_IMAGES = 64, 16  # with so many texts an image, its own decoding and embedding weigh little


@dataclass(frozen=True)
class PairSample:
    """Some of the pairs of a rank job.

    Attributes:
        texts: The texts that every image of the sample is read with.
        images: How many images to draw.
        pairs: Pairs of the whole job.
        share: Pairs of an image in the whole job, by those in the sample.
    """

    texts: RankTexts
    images: int
    pairs: int
    share: float


def sample_pairs(texts: RankTexts, images: int, pairs: int, seed: int) -> PairSample:
    """Draw texts, and say how many images to draw, for about so many pairs.

    Args:
        texts: The texts of the job.
        images: Images of the job, one at least.
        pairs: Pairs to read.
        seed: The seed of the draw.

    Raises:
        ConfigError: There is no text to read.
    """
    whole = texts.pairs(images)
    if not whole:
        raise ConfigError("texts: no pair can be read: there is nothing to plan")
    readable = texts.readable
    count = max(1, min(TEXTS, len(readable), round(whole / images)))
    chosen = np.sort(np.random.default_rng(seed).choice(readable, count, replace=False))
    some = replace(
        texts,
        ids=texts.ids.take(pa.array(chosen)),
        texts=[texts.texts[i] for i in chosen.tolist()],
        candidates=None,
        first_stage=None,
    )
    return PairSample(some, max(LEAST_IMAGES, pairs // count), whole, whole / images / count)
