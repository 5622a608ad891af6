"""The actor that hosts the models: micro-batches in, rows with their results out.

Torch, which takes a second or two to import, is imported while the weights are read.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import ray

from pipeline.common.columns import DETAIL, ERROR, NEGATIVE_SCORES, PAIR, ROW_ID
from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError
from pipeline.common.redaction import redacted
from pipeline.common.tasks import TASKS, Task
from pipeline.config.job import JobConfig
from pipeline.monitoring.error_budget import Reporter
from pipeline.monitoring.stage_timing import Watch
from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.micro_batch import MicroBatch
from pipeline.storage.filesystem import model_folder
from vilt.common.folder import SAFETENSORS
from vilt.models.registry import open_predictor

if TYPE_CHECKING:
    from pipeline.stages.ranker import Ranker
    from pipeline.stages.task_columns import BatchFeatures, TaskColumns
    from vilt.inference.engine import Engine

logger = logging.getLogger(__name__)
NOT_FINITE = Failure("not_finite", "the model's output is not finite")


class PredictActor:
    """Loads each checkpoint of the job once; each call takes micro-batches and returns their rows with all results."""

    def __init__(
        self,
        config: JobConfig,
        threads: int,
        watch: Watch | None = None,
        texts: ray.ObjectRef | None = None,
        weights: Collection[str] | None = None,
    ) -> None:
        """Load the checkpoints.

        Args:
            config: The job.
            threads: Cores of the actor.
            watch: Where counts and timings are reported; None reports nothing.
            texts: A `RankTexts`, if the job ranks.
            weights: The sha256 of each checkpoint's weights when the job began: others are refused.
        """
        folders = {uri: model_folder(uri, config.storage) for uri in config.models}
        for folder in folders.values():
            if folder.is_plain:
                folder.read_ahead(SAFETENSORS)
        import torch

        from pipeline.stages.ranker import Ranker
        from pipeline.stages.task_columns import COLUMNS_OF

        torch.set_num_threads(threads)
        if ray.is_initialized() and ray.get_gpu_ids() and not torch.cuda.is_available():
            logger.warning("Ray gave this actor a GPU that torch does not see: the model runs on the CPU")
        self.config = config
        self.reporter = watch and Reporter(watch)
        tokenizer = None if config.tokenizer is None else model_folder(config.tokenizer, config.storage)
        self.predictors = {
            uri: open_predictor(folder, precision=config.precision, tokenizer=tokenizer)
            for uri, folder in folders.items()
        }
        # A family of another package need not know.
        known = {uri: getattr(one, "weights_sha256", "") for uri, one in self.predictors.items()}
        self.replaced = [uri for uri, one in known.items() if weights and one and one not in weights]
        self.columns_of: dict[Task, TaskColumns] = {task: COLUMNS_OF[task] for task in config.tasks if task != "rank"}
        self.ranker: Ranker | None = None
        if texts is not None:
            predictor = next(iter(self.predictors.values()))
            count_pairs = self.reporter.count_pairs if self.reporter else None
            self.ranker = Ranker(predictor, ray.get(texts), config.top_k, count_pairs)
            self.columns_of["rank"] = self.ranker
        gc.freeze()  # what is loaded stays to the end: looking through it again takes 0.7 s when the actor ends

    def __call__(self, batches: pa.Table) -> pa.Table:
        """Return the rows of a table of schema `BATCH` in the output's schema, with the column `__stats`.

        Raises:
            ConfigError: The weights were replaced since the job began. From the constructor Ray would try again.
        """
        if self.replaced:
            raise ConfigError(
                f"model: the weights of {redacted(self.replaced[0])!r} were replaced while the job ran, whose results "
                "would be of two models: put the earlier ones back and start it again to resume, or set "
                "output.overwrite=true to make all results anew"
            )
        layout = next(iter(self.predictors.values())).preprocessor.rows
        return pa.concat_tables([self._predict(batch) for batch in MicroBatch.from_arrow(batches, layout)])

    def _predict(self, batch: MicroBatch) -> pa.Table:
        from pipeline.stages.task_columns import BatchFeatures, negative_scores

        began, started, config, rows = time.time(), time.monotonic(), self.config, batch.rows
        for uri, tasks in config.models.items():
            row_ids = _pair_row_ids(batch) if self.ranker else None
            features = BatchFeatures(self.predictors[uri], batch.pairs, config.top_k, row_ids)
            for task in tasks:
                pair_index = rows[f"{PAIR}{self._text_column(task)}"].to_numpy()
                rows = _with_results(rows, TASKS[task].columns, self.columns_of[task], features, pair_index)
            if "score" in tasks and config.negatives:
                first = len(config.text_columns)
                columns = [rows[f"{PAIR}{first + i}"].to_numpy() for i in range(len(config.negatives))]
                rows = _with_results(rows, (NEGATIVE_SCORES,), negative_scores, features, np.stack(columns, axis=1))
        stats = self._stats(batch, features.predictor, began, time.monotonic() - started)
        added = [name for name in config.added_columns if name in rows.column_names]
        carried = [name for name in rows.column_names if name not in added and not name.startswith(PAIR)]
        rows = rows.select([*carried, *added])
        if self.reporter:
            self.reporter.report(rows, stats.pairs, stats.tokens, stats.seconds)
        return stats.attach(rows)

    def _text_column(self, task: Task) -> int:
        """Return which of the job's text columns a task reads."""
        column = None if task == "rank" else self.config.text_of(task)
        return 0 if column is None else self.config.text_columns.index(column)

    def _stats(self, batch: MicroBatch, predictor: Engine, began: float, seconds: float) -> BatchStats:
        from vilt.inference.precision import shown

        stats = BatchStats.of(batch, with_pair_tokens=self.ranker is None)
        if self.ranker:
            stats = replace(stats, pairs=self.ranker.pairs, tokens=self.ranker.tokens)
        return replace(
            stats,
            began=began,
            seconds=seconds,
            precision=shown(predictor.precision),
            device=str(predictor.device),
        )


def _pair_row_ids(batch: MicroBatch) -> pa.Array:
    """Return the row id of each pair, of rows that have at most one pair each."""
    first_pairs, row_of_pair = batch.rows[f"{PAIR}0"].to_numpy(), np.zeros(len(batch.pairs), np.int64)
    row_of_pair[first_pairs[first_pairs >= 0]] = np.flatnonzero(first_pairs >= 0)
    return batch.rows[ROW_ID].combine_chunks().take(pa.array(row_of_pair))


def _with_results(
    rows: pa.Table, names: Sequence[str], columns_of: TaskColumns, features: BatchFeatures, pair_index: np.ndarray
) -> pa.Table:
    """Return `rows` with the columns of a task.

    Args:
        rows: The rows of a micro-batch.
        names: The names of the columns.
        columns_of: What computes them.
        features: What the task reads.
        pair_index: int64 (rows,) or (rows, texts), the first pair of each row's text; -1 if it has none.
    """
    has_pair = np.flatnonzero((pair_index.reshape(len(pair_index), -1) >= 0).all(axis=1))
    finite, columns = columns_of(features, pair_index[has_pair])
    result_of_row = np.full(len(pair_index), -1)
    result_of_row[has_pair[finite]] = np.flatnonzero(finite)
    indices = pa.array(result_of_row, mask=result_of_row < 0)
    for name, column in zip(names, columns, strict=True):
        rows = rows.append_column(name, column.take(indices))
    return rows if finite.all() else _fail(rows, has_pair[~finite], NOT_FINITE)


def _fail(rows: pa.Table, failed: np.ndarray, failure: Failure) -> pa.Table:
    """Return `rows` with this failure at the row indices in `failed`."""
    for name, value in ((ERROR, failure.reason), (DETAIL, failure.detail)):
        values = rows[name].to_pylist()
        for i in failed:
            values[i] = value
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, pa.string()))
    return rows
