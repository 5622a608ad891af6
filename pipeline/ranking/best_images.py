"""The best images of each text, from the candidates in the results of a rank job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, TEXT_TRUNCATED
from pipeline.common.row_ids import from_keys, key_type, keys_of, order_of
from pipeline.tables.rank_inputs.texts import RankTexts

MERGED_PAIRS = 2**21  # that are put together before the best of them are chosen


class BestPairs(NamedTuple):
    """Scored pairs, sorted by text, best first.

    Attributes:
        text: int64 (n,), the number of the text.
        score: float32 (n,).
        image: (n,), the key of the image's row id; see `pipeline.common.row_ids`.
    """

    text: np.ndarray
    score: np.ndarray
    image: pa.Array

    @classmethod
    def of_all(cls, parts: Sequence[BestPairs], top_k: int) -> BestPairs:
        """Return the best `top_k` of each text in all; of equal scores the smallest row_id comes first."""
        text, score = np.concatenate([part.text for part in parts]), np.concatenate([part.score for part in parts])
        image = pa.concat_arrays([part.image for part in parts])
        order = np.lexsort((order_of(image).to_numpy(), -score, text))
        ordered = text[order]
        chosen = order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < top_k]
        return cls(text[chosen], score[chosen], image.take(pa.array(chosen)))

    def images_of(self, text: int) -> pa.Array:
        """Return the keys of a text's best images, best first."""
        begin, end = np.searchsorted(self.text, (text, text + 1))
        return self.image[begin:end]

    def below(self, count: int) -> BestPairs:
        """Return the pairs of the texts with a number below `count`."""
        end = int(np.searchsorted(self.text, count))
        return BestPairs(self.text[:end], self.score[:end], self.image[:end])


def best_pairs(files: Iterable[tuple[pa.Array, pa.ListArray]], top_k: int, id_type: pa.DataType) -> BestPairs:
    """Return the best images of each text.

    Args:
        files: For each file of results the row ids, and the column `candidates`.
        top_k: How many images to keep for each text.
        id_type: The type of the row ids.
    """
    parts = [BestPairs(np.empty(0, np.int64), np.empty(0, np.float32), pa.array([], key_type(id_type)))]
    waiting = 0
    for row_ids, candidates in files:
        pairs = candidates.flatten()
        counts = candidates.value_lengths().fill_null(0).to_numpy()
        text, score = pairs.field("text").to_numpy().astype(np.int64), pairs.field("score").to_numpy()
        images = keys_of(row_ids).take(pa.array(np.repeat(np.arange(len(row_ids)), counts)))
        parts.append(BestPairs(text, score, images))
        waiting += len(text)
        if waiting > MERGED_PAIRS:
            parts, waiting = [BestPairs.of_all(parts, top_k)], 0
    return BestPairs.of_all(parts, top_k)


def best_images(best: BestPairs, texts: RankTexts, truncated: np.ndarray, id_type: pa.DataType) -> pa.Table:
    """Return one row for each text with its best images.

    Args:
        best: The best images of each text; those of numbers that no text has are left out.
        texts: The texts of the job.
        truncated: bool (texts,), which have more tokens than the model reads.
        id_type: The type of the row ids.

    Returns:
        Columns text_id, text, `best_images` (best first; of equal scores the smallest row_id first), text_truncated,
        error, error_detail.
    """
    best = best.below(len(texts.ids))
    counts = np.bincount(best.text, minlength=len(texts.ids))
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    images = pa.StructArray.from_arrays(
        [from_keys(best.image, id_type), pa.array(best.score, pa.float32())], ["row_id", "score"]
    )
    failures = [texts.failure(i) or (None, None) for i in range(len(texts.ids))]
    return pa.table(
        {
            "text_id": texts.ids,
            "text": pa.array([text if isinstance(text, str) else None for text in texts.texts], pa.string()),
            "best_images": pa.ListArray.from_arrays(offsets, images),
            TEXT_TRUNCATED: pa.array(truncated, mask=np.array([reason is not None for reason, _ in failures], bool)),
            ERROR: pa.array([reason for reason, _ in failures], pa.string()),
            DETAIL: pa.array([detail for _, detail in failures], pa.string()),
        }
    )
