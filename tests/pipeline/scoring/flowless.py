"""Jobs without Ray: their rows are read and written as a job's are, and a number stands for what the model says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from ray.data._internal.execution.interfaces import TaskContext

from pipeline.common.row_ranges import ROW_BITS
from pipeline.results.file_footer import ResultFile
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.result_parts import StagedParts
from pipeline.scoring import dataflow
from pipeline.scoring import prepare as prepare_module
from pipeline.scoring import run as run_module
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.output_rows import carried_columns
from pipeline.tables.datasource import windows_of
from pipeline.tables.reading import read_plan
from tests.pipeline.killed import Killed


class NoSession:
    """Stands for a running Ray."""

    def __init__(self, address: str | None) -> None:
        del address

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *exception: object) -> None:
        """Do nothing."""


class Flow:
    """Writes parts of some rows, the last rows first, each row with the score `1000 * file + row`.

    Attributes:
        errors: Row key -> error code.
        killed_after: The process ends when it has written so many parts.
        read: The keys of all rows that were read.
    """

    def __init__(self, part_rows: int = 4) -> None:
        self.part_rows = part_rows
        self.errors: dict[int, str] = {}
        self.killed_after = 0
        self.read: list[int] = []
        self._runs = itertools.count()

    def score_rows(
        self,
        job: PreparedJob,
        staged: StagedParts,
        before: ResultFile,
        log_every: float,
        types: Mapping[str, pa.DataType] | None = None,
    ) -> list[ResultFile]:
        """Stand for `pipeline.scoring.dataflow.score_rows`."""
        del before, log_every
        config = job.config
        plan = read_plan(job.table, self.part_rows)
        read = (rows for one in job.table.unread(staged.done) for rows in one.read(plan))
        windows = list(windows_of(read, self.part_rows))
        sink = ParquetSink(
            staged.filesystem,
            staged.folder,
            f"RUN{next(self._runs)}",
            {**job.table.metadata, **job.models.lineage},
            100,
            self.part_rows,
            types=types,
            keep_row_keys=config.in_input_order,
        )
        parts = []
        for number, window in enumerate(reversed(windows)):
            if self.killed_after and number == self.killed_after:
                raise Killed
            keys = window["__row_key"].to_numpy()
            self.read += keys.tolist()
            written = sink.write([self._results(window, keys, job)], TaskContext(task_idx=number, op_name="write"))
            assert written
            parts.append(written)
        return parts

    def _results(self, window: pa.Table, keys: np.ndarray, job: PreparedJob) -> pa.Table:
        count, failed = len(keys), [self.errors.get(int(key)) for key in keys]
        numbers = (keys >> ROW_BITS) * 1000.0 + (keys & (1 << ROW_BITS) - 1)
        scores = pa.array([None if why else n for n, why in zip(numbers, failed, strict=True)], pa.float32())
        rows = carried_columns(window.drop_columns(["__row_key"]), job.config)
        for name, values in {
            "text_truncated": pa.array([None if why else False for why in failed], pa.bool_()),
            "score": scores,
            "error": pa.array(failed, pa.string()),
            "error_detail": pa.array([f"it is {why}" if why else None for why in failed], pa.string()),
            "__row_key": pa.array(keys),
            "__texts": pa.array([1] * count, pa.int32()),
        }.items():
            rows = rows.append_column(name, values)
        stats = BatchStats(pairs=count, tokens=10 * count, seconds=1.0, precision="float32", device="cpu")
        return stats.attach(rows.combine_chunks())


def without_ray(monkeypatch: pytest.MonkeyPatch, part_rows: int = 4) -> Flow:
    """Let jobs run without Ray; return what stands for it."""
    flow = Flow(part_rows)
    monkeypatch.setattr(dataflow, "score_rows", flow.score_rows)
    monkeypatch.setattr(run_module, "ray_session", NoSession)
    monkeypatch.setattr(prepare_module, "ray_session", NoSession)
    return flow
