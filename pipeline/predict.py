"""The actor that hosts the model: micro-batches in, rows with their results out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline.config import JobConfig
from pipeline.reasons import Failure
from pipeline.schema import ANSWERS_TYPE, DETAIL, ERROR, PAIR, RESULTS, STATS, STATS_TYPE, MicroBatch, added_columns
from vilt.packing import Pairs
from vilt.predictor import ANSWER, SCORE, Predictor

HEAD = {"score": SCORE, "answer": ANSWER}


class ViltActor:
    """Loads the model once; each call takes micro-batches and gives their rows with scores or answers."""

    def __init__(self, config: JobConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        self.task, self.top_k = config.task, config.top_k
        self.predictor = Predictor.from_pretrained(config.model, precision=config.precision)

    def __call__(self, batches: pa.Table) -> pa.Table:
        """A table of schema `BATCH` -> its rows in the output's schema, and the column `__stats`."""
        patch_bytes = 3 * self.predictor.config.patch_size**2
        return pa.concat_tables([self._predict(batch) for batch in MicroBatch.from_arrow(batches, patch_bytes)])

    def _predict(self, batch: MicroBatch) -> pa.Table:
        started = time.monotonic()
        logits = self._logits(batch.pairs)
        seconds = time.monotonic() - started
        pair = batch.rows[PAIR].to_numpy(zero_copy_only=False)  # float where a row has no pair
        has_pair = ~np.isnan(pair.astype(float))
        of_rows = np.full((len(pair), logits.shape[1]), np.nan, np.float32)
        of_rows[has_pair] = logits[pair[has_pair].astype(np.int64)]
        scored = np.isfinite(of_rows.sum(axis=1))  # a sum is finite where all its terms are
        rows = _fail(batch.rows, has_pair & ~scored, Failure("not_finite", "the model's output is not finite"))
        results = self._scores(of_rows, scored) if self.task == "score" else self._answers(of_rows, scored)
        for field, values in zip(RESULTS[self.task], results, strict=True):
            rows = rows.append_column(field, pa.array(values, field.type))
        added = [name for name in added_columns(self.task) if name in rows.column_names]
        own = [name for name in rows.column_names if name not in {*added, PAIR}]
        stats = [
            {
                "pairs": len(batch.pairs),
                "tokens": int(batch.pairs.lengths.sum()),
                "seconds": seconds,
                "precision": self.predictor.precision,
                "device": str(self.predictor.device),
            }
        ]
        return rows.select([*own, *added]).append_column(
            STATS, pa.array(stats + [None] * (rows.num_rows - 1), STATS_TYPE)
        )

    def _logits(self, pairs: Pairs) -> np.ndarray:
        """float32 (pairs, outputs); of no pairs, (0, 1)."""
        return self.predictor.logits(pairs, (HEAD[self.task],))[HEAD[self.task]] if len(pairs) else np.empty((0, 1))

    def _scores(self, logits: np.ndarray, scored: np.ndarray) -> list[Any]:
        """Column `score`."""
        return [pa.array(logits[:, 0], pa.float32(), mask=~scored)]

    def _answers(self, logits: np.ndarray, scored: np.ndarray) -> list[Any]:
        """Columns `answer`, `answer_score` and `answers`."""
        best: list[Any] = [None] * len(scored)
        if scored.any():
            found = self.predictor.best_answers(logits[scored], min(self.top_k, logits.shape[1]))
            for place, answers in zip(np.flatnonzero(scored), found, strict=True):
                best[place] = [{"answer": answer, "score": score} for answer, score in answers]
        return [
            [row and row[0]["answer"] for row in best],
            [row and row[0]["score"] for row in best],
            pa.array(best, ANSWERS_TYPE),
        ]


def _fail(rows: pa.Table, where: np.ndarray, failure: Failure) -> pa.Table:
    """`rows` with this failure at the rows where `where` is true."""
    for name, value in ((ERROR, failure.reason), (DETAIL, failure.detail)):
        old = rows[name].to_pylist()
        new = [value if now else before for now, before in zip(where, old, strict=True)]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(new, pa.string()))
    return rows
