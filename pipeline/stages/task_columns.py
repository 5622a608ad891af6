"""Compute the columns of each task from the model's output: one function a task returns the columns that it adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from torch import Tensor

from pipeline.common.tasks import Task
from vilt.common.scores import top
from vilt.inference.engine import Engine
from vilt.inference.heads import Reads
from vilt.inference.pairs import Pairs

RANKED = pa.list_(pa.struct([("answer", pa.string()), ("score", pa.float32())]))
LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
FILLS = pa.list_(pa.struct([("token", pa.string()), ("score", pa.float32())]))
TAGS = pa.list_(pa.struct([("token", pa.string()), ("label", pa.string()), ("score", pa.float32())]))

Columns = tuple[np.ndarray, list[pa.Array]]  # bool (n,): whether each result is finite; the columns of `TaskSpec`


@dataclass
class BatchFeatures:
    """The pairs that the tasks of one checkpoint compute from, and their features.

    Attributes:
        predictor: The checkpoint.
        pairs: The pairs of a micro-batch.
        top_k: How many answers or labels to keep.
        row_ids: The row id of each pair, if the job ranks.
        vectors: float32 (n, D) features, computed once for all heads that read the same.
    """

    predictor: Engine
    pairs: Pairs
    top_k: int
    row_ids: pa.Array | None = None
    vectors: dict[Reads, Tensor] = field(default_factory=dict)

    def features(self, task: str) -> Tensor:
        """Return what the head of a task reads of each pair, float32 (n, D)."""
        reads = self.predictor.reads(task)
        if reads not in self.vectors:
            self.vectors[reads] = self.predictor.vectors(self.pairs, reads)
        return self.vectors[reads]

    def logits(self, task: str, pair_index: np.ndarray) -> np.ndarray:
        """Return the logits of a task for the pairs at `pair_index`, float32 (pairs, outputs)."""
        return self.predictor.logits(task, self.features(task)[pair_index])


TaskColumns = Callable[[BatchFeatures, np.ndarray], Columns]  # the second: int64 (n,), the pairs to compute for


def score(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `score`: the retrieval logit."""
    logits = batch.logits("score", pair_index)[:, 0]
    return np.isfinite(logits), [pa.array(logits, pa.float32())]


def negative_scores(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `negative_scores`: the retrieval logits of texts that are not the row's own.

    Args:
        batch: What is read.
        pair_index: int64 (rows, texts).
    """
    logits = batch.logits("score", pair_index.ravel())[:, 0].reshape(pair_index.shape)
    offsets = pa.array(np.arange(len(pair_index) + 1) * pair_index.shape[1], pa.int32())
    return _all_finite(logits), [pa.ListArray.from_arrays(offsets, pa.array(logits.ravel(), pa.float32()))]


def answer(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `answer`, `answer_score`: the best answer and its score; `answers`: the best `top_k`."""
    return _best(batch, "answer", batch.logits("answer", pair_index), batch.top_k, RANKED)


def classify(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `label`, `label_score`: the most likely class of the image; `labels`: the best `top_k`."""
    return _best(batch, "classify", batch.logits("classify", pair_index), batch.top_k, LABELS)


def reason(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `label`, `label_score`: the most likely class of the text and its images, and its probability."""
    pairs_of_rows = pair_index[:, None] + np.arange(batch.predictor.config.images)
    each = batch.features("reason")[pairs_of_rows]  # (rows, images, D)
    logits = batch.predictor.logits("reason", each.flatten(1))
    finite, columns = _best(batch, "reason", logits, 1, LABELS)
    return finite, columns[:2]


def embed(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `embedding`: the vector of the pair, or of the image, a list of floats.

    No list of fixed size: Arrow before 26 reads none from Parquet if a row has none.
    """
    vectors = batch.logits("embed", pair_index)
    flat = pa.array(vectors.ravel(), pa.float32())
    ends = np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32)
    return _all_finite(vectors), [pa.ListArray.from_arrays(ends, flat)]


def fill(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `filled_text`: the text with every [MASK] filled; `fills`: the words put there, with probabilities."""
    filled = batch.predictor.fill_pairs(_select(batch.pairs, pair_index))
    finite = np.array([all(np.isfinite(score) for _, score in row.words) for row in filled], dtype=bool)
    words = [[{"token": token, "score": score} for token, score in row.words] for row in filled]
    return finite, [pa.array([row.text for row in filled], pa.string()), pa.array(words, FILLS)]


def tag(batch: BatchFeatures, pair_index: np.ndarray) -> Columns:
    """Return `tags`: each token of the text, its most likely class and that class's probability."""
    tagged = batch.predictor.tag_pairs(_select(batch.pairs, pair_index))
    finite = np.array([all(np.isfinite(tag.score) for tag in row) for row in tagged], dtype=bool)
    return finite, [pa.array([[tag._asdict() for tag in row] for row in tagged], TAGS)]


COLUMNS_OF: dict[Task, TaskColumns] = {  # but for `rank`, which has a state: see `pipeline.stages.ranker`
    "score": score,
    "answer": answer,
    "fill": fill,
    "reason": reason,
    "tag": tag,
    "embed": embed,
    "classify": classify,
}


def _best(batch: BatchFeatures, task: str, logits: np.ndarray, top_k: int, kind: pa.ListType) -> Columns:
    """Return the best label of each row, its score, and the best `top_k` as a column of type `kind`."""
    best, scores = top(batch.predictor.scores(task, logits), min(top_k, logits.shape[1]))
    names = pa.array(batch.predictor.labels, pa.string())
    ranked = pa.StructArray.from_arrays(
        [names.take(pa.array(best.ravel())), pa.array(scores.ravel(), pa.float32())], fields=list(kind.value_type)
    )
    offsets = pa.array(np.arange(len(logits) + 1) * best.shape[1], pa.int32())
    columns = [names.take(pa.array(best[:, 0])), pa.array(scores[:, 0], pa.float32())]
    return _all_finite(logits), [*columns, pa.ListArray.from_arrays(offsets, ranked)]


def _all_finite(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values).all(axis=1)


def _select(pairs: Pairs, pair_index: np.ndarray) -> Pairs:
    """Return some of `pairs`, with their images."""
    ends = np.cumsum(pairs.text_lengths)
    ids = [pairs.token_ids[ends[i] - pairs.text_lengths[i] : ends[i]] for i in pair_index]
    return replace(
        pairs,
        token_ids=np.concatenate(ids) if ids else pairs.token_ids[:0],
        text_lengths=pairs.text_lengths[pair_index],
        image_index=pairs.image_index[pair_index],
    )
