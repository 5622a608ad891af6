"""Jobs in this process: the stages of a job one after the other, with the real model, and without Ray's processes.

For what the stages decide. What Ray adds (tasks, actors, stops, nodes) is tested on a real one.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest
from ray.data._internal.execution.interfaces import TaskContext

from pipeline.cluster.actor_pool import CPU_BATCH_TOKENS
from pipeline.results.file_footer import ResultFile
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.result_parts import StagedParts
from pipeline.scoring import dataflow
from pipeline.scoring import prepare as prepare_module
from pipeline.scoring import run as run_module
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.predict import PredictActor
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.datasource import windows_of
from pipeline.tables.reading import read_plan
from tests.pipeline.scoring.flowless import NoSession


def score_rows(
    job: PreparedJob,
    staged: StagedParts,
    before: ResultFile,
    log_every: float,
    types: Mapping[str, pa.DataType] | None = None,
) -> list[ResultFile]:
    """Stand for `pipeline.scoring.dataflow.score_rows`."""
    del before, log_every
    config, rows = job.config, job.config.batch.window_rows
    tokens = config.batch.tokens or CPU_BATCH_TOKENS
    preprocess = Preprocess(config, job.table.base, job.table.columns, tokens, job.models.images)
    read = (table for one in job.table.unread(staged.done) for table in one.read(read_plan(job.table, rows)))
    actor = PredictActor(config, threads=1, weights=[*job.models.weights.values()])
    lineage = {**job.table.metadata, **job.models.lineage}
    sink = ParquetSink(
        staged.filesystem, staged.folder, "RUN", lineage, tokens, config.output.rows_per_file, types=types
    )
    written = [
        sink.write([actor(batches)], TaskContext(task_idx=number, op_name="write"))
        for number, batches in enumerate(preprocess(windows_of(read, rows)))
    ]
    return [part for part in written if part]


def run_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs run in this process."""
    monkeypatch.setattr(dataflow, "score_rows", score_rows)
    monkeypatch.setattr(run_module, "ray_session", NoSession)
    monkeypatch.setattr(prepare_module, "ray_session", NoSession)
