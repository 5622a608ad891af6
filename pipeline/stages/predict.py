"""The actor that hosts the models: micro-batches in, rows with their results out."""

from __future__ import annotations

import logging
import time
from functools import partial

import numpy as np
import pyarrow as pa
import ray
import torch

from pipeline.common.columns import DETAIL, ERROR, PAIR, ROW_ID, STATS
from pipeline.common.error_codes import Failure
from pipeline.common.tasks import TASKS, Task, added_columns
from pipeline.config.job import JobConfig
from pipeline.monitoring.error_budget import Reporter
from pipeline.monitoring.stage_timing import Watch
from pipeline.stages.micro_batch import STATS_TYPE, MicroBatch
from pipeline.stages.ranker import Ranker
from pipeline.stages.task_columns import COLUMNS_OF, Work
from pipeline.storage.filesystem import model_folder
from vilt.models.registry import open_predictor

logger = logging.getLogger(__name__)
NOT_FINITE = Failure("not_finite", "the model's output is not finite")


class ViltActor:
    """Loads each checkpoint once, of any kind; each call takes micro-batches and gives their rows with the results of
    every task."""

    def __init__(
        self,
        config: JobConfig,
        threads: int,
        watch: Watch | None = None,
        texts: ray.ObjectRef | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        if ray.is_initialized() and ray.get_gpu_ids() and not torch.cuda.is_available():
            logger.warning("Ray gave this actor a GPU that torch does not see: the model runs on the CPU")
        self.config = config
        self.reporter = watch and Reporter(watch)
        tokenizer = None if config.tokenizer is None else model_folder(config.tokenizer, config.storage)
        self.predictors = {
            uri: open_predictor(model_folder(uri, config.storage), precision=config.precision, tokenizer=tokenizer)
            for uri in config.models
        }
        self.ranker = None
        if texts is not None:
            predictor = next(iter(self.predictors.values()))
            read = self.reporter.read if self.reporter else lambda _: None
            self.ranker = Ranker(predictor, ray.get(texts), config.top_k, read)

    def __call__(self, batches: pa.Table) -> pa.Table:
        """A table of schema `BATCH` -> its rows in the output's schema, and the column `__stats`."""
        rows = next(iter(self.predictors.values())).preprocessor.rows
        return pa.concat_tables([self._predict(batch) for batch in MicroBatch.from_arrow(batches, rows)])

    def _predict(self, batch: MicroBatch) -> pa.Table:
        started, config, rows = time.monotonic(), self.config, batch.rows
        for uri, tasks in config.models.items():
            work = Work(self.predictors[uri], batch.pairs, config.top_k)
            if self.ranker:
                work.rank = partial(self.ranker.rank, batch.pairs, _row_ids(rows, len(batch.pairs)))
            for task in tasks:
                column = None if self.ranker else config.text_of(task)
                text = 0 if column is None else config.text_columns.index(column)
                rows = _with_results(rows, task, work, rows[f"{PAIR}{text}"].to_numpy())
        seconds = time.monotonic() - started
        added = [name for name in added_columns(config.tasks) if name in rows.column_names]
        own = [name for name in rows.column_names if name not in added and not name.startswith(PAIR)]
        predictor = work.predictor
        pairs = self.ranker.pairs if self.ranker else len(batch.pairs)
        tokens = self.ranker.tokens if self.ranker else int(batch.pairs.lengths.sum())
        stats = {
            "pairs": pairs,
            "tokens": tokens,
            "seconds": seconds,
            "grids": [f"{grid.rows}x{grid.cols}" for grid in batch.pairs.grids],
            "precision": predictor.precision,
            "device": str(predictor.device),
        }
        rows = rows.select([*own, *added])
        if self.reporter:
            self.reporter.report(rows, pairs, tokens, seconds)
        return rows.append_column(STATS, pa.array([stats] + [None] * (rows.num_rows - 1), STATS_TYPE))


def _row_ids(rows: pa.Table, pairs: int) -> np.ndarray:
    """The row id of each pair, int64, where each row has one pair at most."""
    pair, ids = rows[f"{PAIR}0"].to_numpy(), np.zeros(pairs, np.int64)
    ids[pair[pair >= 0]] = rows[ROW_ID].to_numpy()[pair >= 0]
    return ids


def _with_results(rows: pa.Table, task: Task, work: Work, pair: np.ndarray) -> pa.Table:
    """`rows` with a task's columns; `pair`: int64 (rows,), the place of each row's pair, -1 where it has none."""
    has_pair = np.flatnonzero(pair >= 0)
    finite, columns = COLUMNS_OF[task](work, pair[has_pair])
    place = np.full(len(pair), -1)
    place[has_pair[finite]] = np.flatnonzero(finite)
    taken = pa.array(place, mask=place < 0)
    for name, column in zip(TASKS[task].columns, columns, strict=True):
        rows = rows.append_column(name, column.take(taken))
    return rows if finite.all() else _fail(rows, has_pair[~finite], NOT_FINITE)


def _fail(rows: pa.Table, where: np.ndarray, failure: Failure) -> pa.Table:
    """`rows` with this failure at the rows in `where`."""
    for name, value in ((ERROR, failure.reason), (DETAIL, failure.detail)):
        values = rows[name].to_pylist()
        for i in where:
            values[i] = value
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, pa.string()))
    return rows
