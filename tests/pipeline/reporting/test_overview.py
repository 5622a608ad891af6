"""A first look at results: the job's own scores and answers, whatever the user's columns are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.storage import StorageConfig
from pipeline.reporting.overview import Overview, look_at

MADE = pa.array([0.1, 0.2, None], pa.float32())


def overview(folder: Path, tasks: str, **columns: Any) -> Overview:
    """The overview of three rows, the last rejected, as a job writes them."""
    results = pa.table(
        {"row_id": [1, 2, 3], **columns, "error": [None, None, "image_null"], "error_detail": ["", "", "d"]}
    )
    pq.write_table(results.replace_schema_metadata({"vilt.task": tasks}), folder / "part-0.parquet")
    summary = {"tasks": tasks.split(","), "rows_in": 3, "pairs": 3, "files": ["part-0.parquet"], "lineage": {}}
    (folder / "_summary.json").write_text(json.dumps(summary))
    return look_at(str(folder), StorageConfig())


def test_scores_beside_a_users_columns(tmp_path: Path) -> None:
    view = overview(tmp_path, "score", Score=[9, 8, 7], answer=[5, 6, 7], score=MADE, place=["a", "b", "c"])
    assert (view.score, view.answers, view.distinct_answers) == ("score", [], 0)
    assert view.scores
    assert view.scores.quantiles[0] == pytest.approx(0.1)
    assert [row["row_id"] for row in view.examples["best"]] == [2, 1]
    assert view.rejected == {"image_null": 1}
    assert view.failures == {"image_null": [(3, "d")]}
    assert view.summary["scored"] == 2


def test_answers_beside_a_users_score(tmp_path: Path) -> None:
    view = overview(tmp_path, "answer", score=[9, 8, 7], answer=["yes", "yes", None], answer_score=MADE)
    assert (view.score, view.answers, view.distinct_answers) == ("answer_score", [("yes", 2)], 1)
    assert view.scores
    assert view.scores.quantiles[-1] == pytest.approx(0.2)


def test_vectors_have_no_scores_whatever_a_user_calls_score(tmp_path: Path) -> None:
    view = overview(tmp_path, "embed", score=[9, 8, 7], embedding=[[1.0], [2.0], None])
    assert (view.score, view.scores, view.examples) == (None, None, {})
    assert view.table
    assert view.table.rows == 3
