"""The best images of each text, from the candidates in the results of a rank job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR
from pipeline.tables.rank_texts import RankTexts

BEST_IMAGES = pa.list_(pa.struct([("row_id", pa.int64()), ("score", pa.float32())]))


class _Best(NamedTuple):
    """Scored pairs, sorted by text, best first. text: int64 (n,), index; score: float32 (n,); row_id: int64 (n,)."""

    text: np.ndarray
    score: np.ndarray
    row_id: np.ndarray

    def merged(self, other: _Best, top_k: int) -> _Best:
        """Return the best `top_k` of each text in both; of equal scores the smallest row_id comes first."""
        text, score, row_id = (np.concatenate(both) for both in zip(self, other, strict=True))
        order = np.lexsort((row_id, -score, text))
        ordered = text[order]
        chosen = order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < top_k]
        return _Best(text[chosen], score[chosen], row_id[chosen])


def best_images(files: Iterable[tuple[np.ndarray, pa.ListArray]], texts: RankTexts, top_k: int) -> pa.Table:
    """Return one row for each text with its best images.

    Args:
        files: For each file of results the row ids, int64 (rows,), and the column `candidates`.
        texts: The texts of the job.
        top_k: How many images to keep for each text.

    Returns:
        Columns text_id, text, `best_images` (best first; of equal scores the smallest row_id first), error,
        error_detail.
    """
    best = _Best(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    for row_ids, candidates in files:
        pairs = candidates.flatten()
        counts = candidates.value_lengths().fill_null(0).to_numpy()
        text, score = pairs.field("text").to_numpy().astype(np.int64), pairs.field("score").to_numpy()
        best = best.merged(_Best(text, score, np.repeat(row_ids, counts)), top_k)
    counts = np.bincount(best.text, minlength=len(texts.ids))
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    images = pa.StructArray.from_arrays(
        [pa.array(best.row_id), pa.array(best.score)], fields=list(BEST_IMAGES.value_type)
    )
    failures = [texts.failure(i) or (None, None) for i in range(len(texts.ids))]
    return pa.table(
        {
            "text_id": pa.array(texts.ids),
            "text": pa.array([text if isinstance(text, str) else None for text in texts.texts], pa.string()),
            "best_images": pa.ListArray.from_arrays(offsets, images),
            ERROR: pa.array([reason for reason, _ in failures], pa.string()),
            DETAIL: pa.array([detail for _, detail in failures], pa.string()),
        }
    )
