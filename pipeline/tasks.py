"""The tasks: what each adds to a row, and how it comes from the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from torch import Tensor

from pipeline.config import Task
from pipeline.schema import DETAIL, ERROR, ROW_ID, TEXT_INDEX
from vilt.packing import Pairs
from vilt.predictor import Predictor
from vilt.scores import sigmoid, softmax, top

RANKED = pa.list_(pa.struct([("answer", pa.string()), ("score", pa.float32())]))
FILLS = pa.list_(pa.struct([("token", pa.string()), ("score", pa.float32())]))
TAGS = pa.list_(pa.struct([("token", pa.string()), ("label", pa.string()), ("score", pa.float32())]))


# A task reads the pairs at `places` and gives, for each, whether its result is finite, and the columns of `TaskSpec`.
Columns = tuple[np.ndarray, list[pa.Array]]


@dataclass
class Work:
    """What the tasks of one checkpoint compute from: a micro-batch's pairs, and their pooled vectors, computed once."""

    predictor: Predictor
    pairs: Pairs
    top_k: int
    rank: Callable[[np.ndarray], Columns] | None = None  # of the actor's `Ranker`, given the places of pairs

    @cached_property
    def pooled(self) -> Tensor:
        """float32 (n, D)."""
        return self.predictor.pooled(self.pairs)


def score(work: Work, places: np.ndarray) -> Columns:
    """`score`: the retrieval logit."""
    logits = work.predictor.logits("score", work.pooled[places])[:, 0]
    return np.isfinite(logits), [pa.array(logits, pa.float32())]


def answer(work: Work, places: np.ndarray) -> Columns:
    """`answer`, `answer_score`: the best answer and its sigmoid; `answers`: the best `top_k`."""
    logits = work.predictor.logits("answer", work.pooled[places])
    best, scores = top(sigmoid(logits), min(work.top_k, logits.shape[1]))
    names = pa.array(work.predictor.labels, pa.string())
    ranked = pa.StructArray.from_arrays(
        [names.take(pa.array(best.ravel())), pa.array(scores.ravel(), pa.float32())], fields=list(RANKED.value_type)
    )
    offsets = pa.array(np.arange(len(places) + 1) * best.shape[1], pa.int32())
    columns = [names.take(pa.array(best[:, 0])), pa.array(scores[:, 0], pa.float32())]
    return _all_finite(logits), [*columns, pa.ListArray.from_arrays(offsets, ranked)]


def reason(work: Work, places: np.ndarray) -> Columns:
    """`label`, `label_score`: the most likely class of the text and its images, and its probability."""
    count = work.predictor.config.num_images
    each = work.pooled[places[:, None] + np.arange(count)]  # (rows, images, D)
    logits = work.predictor.logits("reason", each.flatten(1))
    best, scores = top(softmax(logits), 1)
    labels = pa.array(work.predictor.labels, pa.string()).take(pa.array(best[:, 0]))
    return _all_finite(logits), [labels, pa.array(scores[:, 0], pa.float32())]


def embed(work: Work, places: np.ndarray) -> Columns:
    """`embedding`: the pooled vector, a fixed-size list of floats."""
    vectors = work.predictor.logits("embed", work.pooled[places])
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


@dataclass(frozen=True)
class TaskSpec:
    """verb: what was done to a row, in reports. columns: the names of what it adds. head: of the checkpoint."""

    run: Callable[[Work, np.ndarray], Columns]
    verb: str
    columns: tuple[str, ...]
    head: str


TASKS: dict[Task, TaskSpec] = {
    "score": TaskSpec(score, "scored", ("score",), "score"),
    "answer": TaskSpec(answer, "answered", ("answer", "answer_score", "answers"), "answer"),
    "fill": TaskSpec(fill, "filled", ("filled_text", "fills"), "fill"),
    "reason": TaskSpec(reason, "reasoned", ("label", "label_score"), "reason"),
    "tag": TaskSpec(tag, "tagged", ("tags",), "tag"),
    "embed": TaskSpec(embed, "embedded", ("embedding",), "embed"),
    "rank": TaskSpec(rank, "ranked", ("best_texts", "candidates"), "score"),
}


def added_columns(tasks: Sequence[Task]) -> list[str]:
    """The columns that a job adds, in the order in which they are written."""
    return [ROW_ID, TEXT_INDEX, *(name for task in tasks for name in TASKS[task].columns), ERROR, DETAIL]


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
