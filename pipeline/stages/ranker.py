"""Score images against every text: what an actor keeps of the scores.

The matrix of texts and images is never held. Of an image's scores its best texts are kept; and an image is a candidate
of a text if its score is not below the k-th best that this actor has seen for the text. So each of the k best images
of a text in the whole table is a candidate, whichever actors and runs read them: fewer than k images are better.

Texts of `RankTexts.exact` stand twice in the tables of an actor: with their candidates, and once more, after all texts,
with every image. The second ones have no part in an image's best texts.

For an evaluation (`RankTexts.all_scores`) all scores of an image are kept, in the order of the texts: 12 bytes a pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pipeline.stages.task_columns import BatchFeatures, Columns
from pipeline.tables.rank_inputs.texts import RankTexts
from vilt.inference.engine import Engine
from vilt.inference.pairs import Pairs

CANDIDATES = pa.list_(pa.struct([("text", pa.int32()), ("score", pa.float32())]))  # text: its index in the table
COUNT_EVERY_SECONDS = 5.0


class Ranker:
    """The task `rank` of one actor: columns `best_texts` and `candidates`.

    Attributes:
        pairs: Pairs that the last call scored.
        tokens: Tokens that the last call read.
    """

    def __init__(
        self,
        predictor: Engine,
        texts: RankTexts,
        top_k: int,
        count_pairs: Callable[[int], object] | None = None,
    ) -> None:
        """Tokenize the texts, once.

        Args:
            predictor: The checkpoint.
            texts: The texts, and which images each is read with.
            top_k: How many texts of an image, and images of a text, to keep.
            count_pairs: Called with the number of pairs scored since the last call.
        """
        self.predictor, self.texts, self.top_k = predictor, texts, top_k
        self.count_pairs = count_pairs or (lambda _: None)
        strings = texts.strings
        strings += [strings[i] for i in texts.exact]
        self.token_ids, self.lengths, _ = predictor.preprocessor.tokens(strings)
        self.readable, self.exact = texts.readable, np.arange(len(texts.ids), len(strings))
        self.best_seen = np.full((len(strings), top_k), -np.inf, np.float32)  # of each text, ascending
        self.pairs = self.tokens = 0

    def __call__(self, batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
        """Score the images of the pairs at `pair_index` against their texts; the pairs' own texts are not read.

        An image counts as finite if all its scores are.
        """
        assert batch.row_ids is not None
        images = batch.pairs.image_index[pair_index]
        texts_of_image = self._texts_of(batch.row_ids.take(pa.array(pair_index)))
        counts = np.array([len(texts) for texts in texts_of_image], np.int64)
        text_index = np.concatenate([*texts_of_image, np.empty(0, np.int64)])
        image_index = np.repeat(images, counts)
        scores = self._scores(batch.pairs, text_index, image_index)
        self.pairs = len(text_index)
        self.tokens = int((self.lengths[text_index] + 1 + batch.pairs.grid_sizes[image_index]).sum())
        finite, best, candidates = [], [], []
        scores_of_image = np.split(scores, np.cumsum(counts)[:-1])[: len(counts)]
        for texts, values in zip(texts_of_image, scores_of_image, strict=True):
            finite.append(bool(np.isfinite(values).all()))
            best.append(self._best(texts, values))
            candidates.append(self._candidates(texts, values) if finite[-1] else [])
        best_texts = self._best_texts(best, texts_of_image, scores_of_image)
        return np.array(finite, dtype=bool), [best_texts, pa.array(candidates, CANDIDATES)]

    def _texts_of(self, images: pa.Array) -> list[np.ndarray]:
        """Return the numbers of the texts that each image is scored against, int64, ascending."""
        if self.texts.candidates is None:
            return [self.readable] * len(images)
        found = self.texts.candidates.of(images)
        chosen = [np.intersect1d(texts, self.readable, assume_unique=True) for texts in found]
        return [np.concatenate((texts, self.exact)) for texts in chosen] if len(self.exact) else chosen

    def _scores(self, pairs: Pairs, text_index: np.ndarray, image_index: np.ndarray) -> np.ndarray:
        """Return the scores of pairs (text, image), float32 (n,), and count them as they are made."""
        parts, uncounted, counted_at = [np.empty(0, np.float32)], 0, time.monotonic()
        for part in self.predictor.cross_scores(pairs, self.token_ids, self.lengths, text_index, image_index):
            parts.append(part)
            uncounted += len(part)
            if time.monotonic() - counted_at > COUNT_EVERY_SECONDS:
                self.count_pairs(uncounted)
                uncounted, counted_at = 0, time.monotonic()
        self.count_pairs(uncounted)
        return np.concatenate(parts)

    def _best(self, texts: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Return which texts are kept, best first, of equal ones the first in the table; int64."""
        if self.texts.all_scores:
            return np.arange(len(texts))
        own = int(np.searchsorted(texts, len(self.texts.ids)))
        return np.lexsort((texts[:own], -scores[:own]))[: self.top_k]

    def _best_texts(self, best: list[np.ndarray], texts: list[np.ndarray], scores: list[np.ndarray]) -> pa.ListArray:
        """Return the column `best_texts`; of each image which texts are the best, its texts, and their scores."""
        chosen = [np.empty(0, np.int64), *(some[order] for some, order in zip(texts, best, strict=True))]
        values = [np.empty(0, np.float32), *(some[order] for some, order in zip(scores, best, strict=True))]
        ids = self.texts.ids.take(pa.array(np.concatenate(chosen)))
        pairs = pa.StructArray.from_arrays([ids, pa.array(np.concatenate(values))], ["text_id", "score"])
        offsets = np.cumsum([0, *map(len, best)])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pairs)

    def _candidates(self, texts: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
        """Return the texts among whose best images this one may be."""
        if self.texts.all_scores:  # they are in `best_texts` already
            return []
        good = scores >= self.best_seen[texts, 0]
        texts, scores = texts[good], scores[good]
        self.best_seen[texts, 0] = scores  # in place of the least of them
        self.best_seen[texts] = np.sort(self.best_seen[texts], axis=1)
        return [{"text": t, "score": s} for t, s in zip(texts.tolist(), scores.tolist(), strict=True)]
