"""The tasks: what each adds to a row, and how it comes from the model."""

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
from vilt.inference.packing import Pairs

RANKED = pa.list_(pa.struct([("answer", pa.string()), ("score", pa.float32())]))
LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
FILLS = pa.list_(pa.struct([("token", pa.string()), ("score", pa.float32())]))
TAGS = pa.list_(pa.struct([("token", pa.string()), ("label", pa.string()), ("score", pa.float32())]))


# A task reads the pairs at `places` and gives, for each, whether its result is finite, and the columns of `TaskSpec`.
Columns = tuple[np.ndarray, list[pa.Array]]


@dataclass
class Work:
    """What the tasks of one checkpoint compute from: a micro-batch's pairs, and what heads read of them, computed
    once for all heads that read the same."""

    predictor: Engine
    pairs: Pairs
    top_k: int
    rank: Callable[[np.ndarray], Columns] | None = None  # of the actor's `Ranker`, given the places of pairs
    vectors: dict[Reads, Tensor] = field(default_factory=dict)  # float32 (n, D) each

    def features(self, task: str) -> Tensor:
        """What the head of a task reads of each pair, float32 (n, D)."""
        reads = self.predictor.reads(task)
        if reads not in self.vectors:
            self.vectors[reads] = self.predictor.vectors(self.pairs, reads)
        return self.vectors[reads]

    def logits(self, task: str, places: np.ndarray) -> np.ndarray:
        """The head of a task on the pairs at `places`, float32 (places, outputs)."""
        return self.predictor.logits(task, self.features(task)[places])


def score(work: Work, places: np.ndarray) -> Columns:
    """`score`: the retrieval logit."""
    logits = work.logits("score", places)[:, 0]
    return np.isfinite(logits), [pa.array(logits, pa.float32())]


def answer(work: Work, places: np.ndarray) -> Columns:
    """`answer`, `answer_score`: the best answer and its score; `answers`: the best `top_k`."""
    return _best(work, "answer", work.logits("answer", places), work.top_k, RANKED)


def classify(work: Work, places: np.ndarray) -> Columns:
    """`label`, `label_score`: the most likely class of the image and its probability; `labels`: the best `top_k`."""
    return _best(work, "classify", work.logits("classify", places), work.top_k, LABELS)


def reason(work: Work, places: np.ndarray) -> Columns:
    """`label`, `label_score`: the most likely class of the text and its images, and its probability."""
    each = work.features("reason")[places[:, None] + np.arange(work.predictor.config.images)]  # (rows, images, D)
    logits = work.predictor.logits("reason", each.flatten(1))
    finite, columns = _best(work, "reason", logits, 1, LABELS)
    return finite, columns[:2]


def embed(work: Work, places: np.ndarray) -> Columns:
    """`embedding`: the vector of the pair, or of the image, a fixed-size list of floats."""
    vectors = work.logits("embed", places)
    flat = pa.array(vectors.ravel(), pa.float32())
    return _all_finite(vectors), [pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])]


def fill(work: Work, places: np.ndarray) -> Columns:
    """`filled_text`: the text with every [MASK] filled; `fills`: each word that was put there, with its probability."""
    found = work.predictor.fill_pairs(_some(work.pairs, places))
    finite = np.array([all(np.isfinite(score) for _, score in row.words) for row in found], dtype=bool)
    words = [[{"token": token, "score": score} for token, score in row.words] for row in found]
    return finite, [pa.array([row.text for row in found], pa.string()), pa.array(words, FILLS)]


def tag(work: Work, places: np.ndarray) -> Columns:
    """`tags`: each token of the text, its most likely class and that class's probability."""
    found = work.predictor.tag_pairs(_some(work.pairs, places))
    finite = np.array([all(np.isfinite(tag.score) for tag in row) for row in found], dtype=bool)
    return finite, [pa.array([[tag._asdict() for tag in row] for row in found], TAGS)]


def rank(work: Work, places: np.ndarray) -> Columns:
    """`best_texts`: the best texts of the image; `candidates`: those of whose best images it may be."""
    assert work.rank is not None
    return work.rank(places)


COLUMNS_OF: dict[Task, Callable[[Work, np.ndarray], Columns]] = {
    "score": score,
    "answer": answer,
    "fill": fill,
    "reason": reason,
    "tag": tag,
    "embed": embed,
    "classify": classify,
    "rank": rank,
}


def _best(work: Work, task: str, logits: np.ndarray, top_k: int, kind: pa.ListType) -> Columns:
    """The best label of each row, its score, and the best `top_k` as a column of type `kind`."""
    best, scores = top(work.predictor.scores(task, logits), min(top_k, logits.shape[1]))
    names = pa.array(work.predictor.labels, pa.string())
    ranked = pa.StructArray.from_arrays(
        [names.take(pa.array(best.ravel())), pa.array(scores.ravel(), pa.float32())], fields=list(kind.value_type)
    )
    offsets = pa.array(np.arange(len(logits) + 1) * best.shape[1], pa.int32())
    columns = [names.take(pa.array(best[:, 0])), pa.array(scores[:, 0], pa.float32())]
    return _all_finite(logits), [*columns, pa.ListArray.from_arrays(offsets, ranked)]


def _all_finite(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values).all(axis=1)


def _some(pairs: Pairs, places: np.ndarray) -> Pairs:
    """Some of `pairs`, with their images."""
    ends = np.cumsum(pairs.text_lengths)
    ids = [pairs.token_ids[ends[i] - pairs.text_lengths[i] : ends[i]] for i in places]
    return replace(
        pairs,
        token_ids=np.concatenate(ids) if ids else pairs.token_ids[:0],
        text_lengths=pairs.text_lengths[places],
        image_index=pairs.image_index[places],
    )
