"""Find the images whose vectors are nearest to those of texts, exactly: products of matrices, block by block."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import keys_of
from pipeline.ranking.nearest_pairs import NearestPairs
from pipeline.tables.rank_inputs.first_stage import KEY, FirstStage
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.rank_inputs.vectors import Vectors

QUERIES = 2048  # texts of a product; with 8,192 images 64 MiB


def find_nearest(texts: RankTexts, image_keys: pa.Array) -> NearestPairs:
    """Return the `n` nearest images of each text that can be read.

    Args:
        texts: The texts, with a first stage.
        image_keys: The keys of all images' ids.

    Raises:
        ConfigError: A text or an image has no vector, or one that cannot be compared with the others.
    """
    stage, numbers = texts.first_stage, texts.readable
    assert stage is not None
    queries = _text_vectors(stage, texts, numbers)
    keys: list[pa.Array] = []

    def blocks() -> Iterable[np.ndarray]:
        for some, vectors in stage.images.read(image_keys):
            if vectors.shape[1] != queries.shape[1]:
                raise ConfigError(
                    f"{KEY}: the vectors of the images have {vectors.shape[1]} numbers and those of the texts "
                    f"{queries.shape[1]}: they are not of one model"
                )
            keys.append(some)
            yield _directions(stage.images, some, vectors) if stage.cosine else vectors

    scores, at = nearest(queries, blocks(), stage.n)
    found = pa.concat_arrays([image_keys[:0], *keys])
    missing = image_keys.filter(pc.invert(pc.is_in(image_keys, found)))
    if len(missing):
        raise stage.images.fault(missing, "has no vector")
    each = scores.shape[1]
    return NearestPairs(np.repeat(numbers, each), found.take(pa.array(at.ravel())), scores.ravel())


def nearest(queries: np.ndarray, blocks: Iterable[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose products with each query are the largest, best first.

    Memory grows with queries x n, not with the number of rows.

    Args:
        queries: float32 (Q, D).
        blocks: float32 (B, D) each, the rows.
        n: How many to find; fewer if there are fewer rows.

    Returns:
        The products, float32 (Q, n), and the numbers of the rows over all blocks, int64 (Q, n).
    """
    best = torch.empty((len(queries), 0))
    best_at = torch.empty((len(queries), 0), dtype=torch.int64)
    wanted, first = torch.from_numpy(queries), 0
    for block in blocks:
        rows = torch.from_numpy(block).T  # (D, B)
        scores, numbers = [], []
        for begin in range(0, len(queries), QUERIES):
            part = slice(begin, begin + QUERIES)
            products = wanted[part] @ rows  # (q, B)
            values, at = products.topk(min(n, products.shape[1]), dim=1)
            values = torch.cat((best[part], values), 1)
            at = torch.cat((best_at[part], at + first), 1)
            values, order = values.topk(min(n, values.shape[1]), dim=1)
            scores.append(values)
            numbers.append(at.gather(1, order))
        first += rows.shape[1]
        if scores:
            best, best_at = torch.cat(scores), torch.cat(numbers)
    return best.numpy(), best_at.numpy()


def _text_vectors(stage: FirstStage, texts: RankTexts, numbers: np.ndarray) -> np.ndarray:
    """Return the vectors of the texts at these positions, float32 (texts, D)."""
    wanted = keys_of(texts.ids).take(pa.array(numbers))
    if stage.texts_by_id:
        read = [*stage.texts.read(wanted)]
    else:
        read = [*stage.texts.read(rows_chosen=np.isin(np.arange(len(texts.ids)), numbers))]
    if not read:
        return np.empty((0, stage.images.length or 1), np.float32)
    keys = pa.concat_arrays([some for some, _ in read])
    vectors: np.ndarray = np.concatenate([some for _, some in read])
    if stage.cosine:
        vectors = _directions(stage.texts, keys, vectors)
    if not stage.texts_by_id:
        return vectors
    rows = pc.index_in(wanted, keys)
    if rows.null_count:
        raise stage.texts.fault(wanted.filter(rows.is_null()), "has no vector")
    return vectors[rows.to_numpy()]


def _directions(of: Vectors, keys: pa.Array, vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, in the same directions."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    zero = lengths[:, 0] == 0
    if zero.any():
        raise of.fault(
            keys.filter(pa.array(zero)), "has a vector of zeros, without a direction (metric: dot needs none)"
        )
    return vectors / lengths
