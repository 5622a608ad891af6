"""Every text with every image: what an actor keeps of the scores, and the best images of each text at the end.

The matrix of texts and images is never held. Of an image's scores its best texts are kept; and an image is a candidate
of a text where its score is not below the k-th best that this actor has seen for the text. So each of the k best images
of a text in the whole table is a candidate, whichever actors and runs read them: fewer than k images are better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR
from pipeline.tables.rank_texts import RankTexts
from vilt.inference.engine import Engine
from vilt.inference.packing import Pairs

BEST_TEXTS = pa.list_(pa.struct([("text_id", pa.int64()), ("score", pa.float32())]))
CANDIDATES = pa.list_(pa.struct([("text", pa.int32()), ("score", pa.float32())]))  # text: its place in the table
BEST_IMAGES = pa.list_(pa.struct([("row_id", pa.int64()), ("score", pa.float32())]))
REPORT_EVERY = 5.0  # seconds


class Ranker:
    """Of one actor: reads images with texts. read: called with the number of pairs read since the last call."""

    def __init__(self, predictor: Engine, texts: RankTexts, top_k: int, read: Callable[[int], object]) -> None:
        self.predictor, self.texts, self.top_k, self.read = predictor, texts, top_k, read
        self.token_ids, self.lengths = predictor.preprocessor.tokens([text or "" for text in texts.texts])
        self.readable = texts.readable
        self.seen = np.full((len(texts.ids), top_k), -np.inf, np.float32)  # the best scores of each text, ascending
        self.pairs = self.tokens = 0  # read in the last call

    def rank(self, images: Pairs, row_ids: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, list[pa.Array]]:
        """The images of the pairs at `places` -> for each whether all its scores are finite, and the columns
        `best_texts` and `candidates`. row_ids: of all pairs, which have an image each; their own texts are not read."""
        own = images.image_index[places]
        read = [self._texts_of(row_id) for row_id in row_ids[places]]
        counts = np.array([len(texts) for texts in read], np.int64)
        text = np.concatenate([*read, np.empty(0, np.int64)])
        scores = self._scores(images, text, np.repeat(own, counts))
        self.pairs = len(text)
        self.tokens = int((self.lengths[text] + 1 + images.grid_sizes[np.repeat(own, counts)]).sum())
        ends = np.cumsum(counts)[:-1]
        finite, best, candidates = [], [], []
        for texts, values in zip(np.split(text, ends), np.split(scores, ends), strict=True):
            finite.append(bool(np.isfinite(values).all()))
            best.append(self._best(texts, values))
            candidates.append(self._candidates(texts, values if finite[-1] else values[:0]))
        return np.array(finite, dtype=bool), [pa.array(best, BEST_TEXTS), pa.array(candidates, CANDIDATES)]

    def _texts_of(self, row_id: int) -> np.ndarray:
        if self.texts.candidates is None:
            return self.readable
        return np.intersect1d(self.texts.candidates.of(int(row_id)), self.readable, assume_unique=True)

    def _scores(self, images: Pairs, text: np.ndarray, image: np.ndarray) -> np.ndarray:
        parts, waiting, told = [np.empty(0, np.float32)], 0, time.monotonic()
        for part in self.predictor.cross_scores(images, self.token_ids, self.lengths, text, image):
            parts.append(part)
            waiting += len(part)
            if time.monotonic() - told > REPORT_EVERY:
                self.read(waiting)
                waiting, told = 0, time.monotonic()
        self.read(waiting)
        return np.concatenate(parts)

    def _best(self, texts: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
        """The best texts of an image, best first; of equal ones the first in the table."""
        order = np.lexsort((texts, -scores))[: self.top_k]
        ids = self.texts.ids[texts[order]].tolist()
        return [{"text_id": i, "score": s} for i, s in zip(ids, scores[order].tolist(), strict=True)]

    def _candidates(self, texts: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
        """The texts of whose best images this one may be."""
        texts = texts[: len(scores)]
        good = scores >= self.seen[texts, 0]
        texts, scores = texts[good], scores[good]
        self.seen[texts, 0] = scores  # in the place of the least of them
        self.seen[texts] = np.sort(self.seen[texts], axis=1)
        return [{"text": t, "score": s} for t, s in zip(texts.tolist(), scores.tolist(), strict=True)]


def best_images(files: Iterable[tuple[np.ndarray, pa.ListArray]], texts: RankTexts, top_k: int) -> pa.Table:
    """The row ids and `candidates` of every file of results -> a row for each text with its best images.

    Columns: text_id, text, `best_images` (best first; of equal ones the smallest row_id first), error, error_detail.
    """
    kept = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))  # text, score, row_id
    for row_ids, candidates in files:
        found = candidates.flatten()
        new = (
            found.field("text").to_numpy().astype(np.int64),
            found.field("score").to_numpy(),
            np.repeat(row_ids, candidates.value_lengths().fill_null(0).to_numpy()),
        )
        text, score, row_id = (np.concatenate([a, b]) for a, b in zip(kept, new, strict=True))
        kept = _first(text, score, row_id, top_k)
    text, score, row_id = kept
    counts = np.bincount(text, minlength=len(texts.ids))
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    found = pa.StructArray.from_arrays([pa.array(row_id), pa.array(score)], fields=list(BEST_IMAGES.value_type))
    failures = [texts.failure(i) or (None, None) for i in range(len(texts.ids))]
    return pa.table(
        {
            "text_id": pa.array(texts.ids),
            "text": pa.array(texts.texts, pa.string()),
            "best_images": pa.ListArray.from_arrays(offsets, found),
            ERROR: pa.array([reason for reason, _ in failures], pa.string()),
            DETAIL: pa.array([detail for _, detail in failures], pa.string()),
        }
    )


def _first(
    text: np.ndarray, score: np.ndarray, row_id: np.ndarray, top_k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best `top_k` of each text, by text and best first."""
    order = np.lexsort((row_id, -score, text))
    ordered = text[order]
    chosen = order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < top_k]
    return text[chosen], score[chosen], row_id[chosen]
