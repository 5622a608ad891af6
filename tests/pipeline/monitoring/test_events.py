"""Events: log records with a name and fields."""

from __future__ import annotations

import json
import logging

import pytest

from pipeline import JobConfig
from pipeline.common.summary import Summary
from pipeline.monitoring.events import FINISHED, emit, emit_finished, emit_started


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "pipeline")
    return caplog


def test_an_event(log: pytest.LogCaptureFixture) -> None:
    emit("rejected", "2 rows: image_null", logging.WARNING, reason="image_null", rows=2)
    [record] = log.records
    assert (record.name, record.levelno, record.getMessage()) == ("pipeline", logging.WARNING, "2 rows: image_null")
    assert (record.event, record.fields) == ("rejected", {"reason": "image_null", "rows": 2})  # type: ignore[attr-defined]


def test_a_text_with_a_percent_sign(log: pytest.LogCaptureFixture) -> None:
    emit("progress", "50% done, %s")
    assert log.messages == ["50% done, %s"]


def test_a_job_that_starts(log: pytest.LogCaptureFixture) -> None:
    values = {"input": {"path": "in/"}, "model": "m", "output": {"path": "out/"}}
    job = JobConfig.parse(None, {**values, "tasks": ["score", "answer"]})
    emit_started(job, "RUN", 12_345, 45, 2)
    [record] = log.records
    assert record.getMessage() == "score, answer: 12,300 of 12,345 rows to do"
    assert (record.event, record.fields) == (  # type: ignore[attr-defined]
        "job_started",
        {"run": "RUN", "tasks": ["score", "answer"], "input": "in/", "output": "out/"}
        | {"rows": 12_345, "rows_done": 45, "actors": 2},
    )


def test_a_job_that_has_finished(log: pytest.LogCaptureFixture) -> None:
    summary = Summary(
        tasks=["score"], output="out/", rows_in=1500, rows_out=1500, pairs=1500, scored=1498,
        rejected={"image_null": 1, "text_null": 1}, seconds=12.34, pairs_per_second=9.0, model_seconds=3.0,
        micro_batches=5, tokens=100, batch_fill=0.5, files=["a", "b"], lineage={}, identity={}, resumed_rows=0,
    )  # fmt: skip
    assert emit_finished(summary, version=3, output="elsewhere") is summary
    [record] = log.records
    assert record.getMessage() == "1,500 rows done, 2 rejected, in 12.3 s"
    fields = record.fields  # type: ignore[attr-defined]
    assert fields.keys() == {*FINISHED, "files", "version"}
    assert (fields["files"], fields["version"], fields["output"], fields["rows_in"]) == (2, 3, "elsewhere", 1500)
    json.dumps(fields)
