"""What a job tells while it runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import JobConfig, run
from pipeline.monitoring.stage_timing import STAGES

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_the_events_of_a_job(
    tmp_path: Path,
    scene_rows: Callable[[int], list[dict[str, Any]]],
    write_table: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = scene_rows(60)
    rows[5]["image"] = b"<html>"
    rows[6]["caption"] = None
    rows[7]["caption"] = None
    values = {
        "input": {"path": write_table(rows), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out"), "report": False},
        "batch": {"window_rows": 10, "tokens": 512},
        "max_error_rate": 1,
    }
    with caplog.at_level(logging.INFO, "pipeline"):
        summary = run(JobConfig.parse("score", values), log_every=0.1)
        again = run(JobConfig.parse("score", values), log_every=0.1)
    events = [(record.event, record.fields) for record in caplog.records if hasattr(record, "event")]  # type: ignore[attr-defined]
    names = [name for name, _ in events]
    assert names[0] == "job_started"
    assert names[-2:] == ["job_finished", "job_finished"]
    assert names.count("progress") >= 2
    assert events[0][1].items() >= {"tasks": ["score"], "rows": 60, "rows_done": 0, "actors": 1}.items()
    rejected = {fields["reason"]: fields["example"] for name, fields in events if name == "rejected"}
    assert rejected == {
        "image_unsupported": "row 15: 6 bytes of a HTML file, a format that is not read",
        "text_null": "row 18: the text is null",
    }
    progress = [fields for name, fields in events if name == "progress"]
    done = [fields["rows_done"] for fields in progress]
    assert done == sorted(done)
    for fields in progress:
        assert fields["rows"] == 60
        assert fields["share"] == pytest.approx(fields["rows_done"] / 60, abs=1e-4)
        assert fields["limiting"] in (None, *STAGES)
        assert 0 <= fields["model_busy"] <= 1
    first, second = (fields for name, fields in events if name == "job_finished")
    assert (first["scored"], first["rejected"]) == (summary.scored, summary.rejected)
    assert first["rejected"] == {"image_unsupported": 1, "text_null": 2}
    assert (again.finished_before, second["finished_before"]) == (True, True)
    texts = [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "progress"]
    assert all(" of 60 rows (" in text and "limiting: " in text for text in texts)
