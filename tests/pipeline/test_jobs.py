"""Jobs as a notebook runs them: the same files as the command leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import JobConfig, run
from tests.pipeline.scoring.flowless import without_ray

Rows = list[dict[str, Any]]


@pytest.fixture
def job(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> JobConfig:
    without_ray(monkeypatch)
    values = {
        "input": {"path": write_table(scene_rows(6)), "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": f"{tmp_path}/out"},
    }
    return JobConfig.parse("score", values)


def test_a_job_leaves_its_report(job: JobConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = tmp_path / "out" / "_report.html"
    with caplog.at_level("INFO", "pipeline"):
        assert run(job).scored == 6
    assert "Histogram of 6 scores" in report.read_text()
    assert caplog.records[-1].message.startswith("6 rows done, 0 rejected"), "it is written behind the last event"
    report.write_text("mine")
    assert run(job).finished_before
    assert report.read_text() == "mine", "the results are the same as before"
    report.unlink()
    assert run(job).finished_before
    assert report.exists()


def test_a_job_that_wants_none_has_none(job: JobConfig, tmp_path: Path) -> None:
    output = job.output.model_copy(update={"report": False})
    run(job.model_copy(update={"output": output}))
    assert not (tmp_path / "out" / "_report.html").exists()


def test_a_report_that_fails_is_a_warning(
    job: JobConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no space\nleft, at s3://key:secret@host/x")

    monkeypatch.setattr("pipeline.reporting.page.make_report", broken)
    with caplog.at_level("INFO", "pipeline"):
        assert run(job).scored == 6
    last = caplog.records[-1]
    assert (last.levelname, getattr(last, "event", "")) == ("WARNING", "warning")
    assert last.message.startswith("no report: no space left, at s3://")
    assert last.message.endswith("; the results are complete")
    assert "secret" not in last.message
