"""Whose column: the tasks that the footer names decide, not the names of the columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.results.reader import open_results

COLUMNS = {"row_id": [1], "score": [1.0], "answer": ["x"], "answer_score": [0.5], "label": ["y"], "error": [None]}


@pytest.mark.parametrize(
    ("tasks", "made", "score"),
    [
        (None, ["row_id", "score", "answer", "answer_score", "label", "error"], "score"),
        ("score", ["row_id", "score", "error"], "score"),
        ("answer", ["row_id", "answer", "answer_score", "error"], "answer_score"),
        ("score,answer", ["row_id", "score", "answer", "answer_score", "error"], "score"),
        ("classify", ["row_id", "label", "error"], None),
        ("embed", ["row_id", "error"], None),
    ],
)
def test_columns_that_the_job_made(tmp_path: Path, tasks: str | None, made: list[str], score: str | None) -> None:
    table = pa.table(COLUMNS).replace_schema_metadata({} if tasks is None else {"vilt.task": tasks})
    pq.write_table(table, tmp_path / "part-0.parquet")
    results = open_results(str(tmp_path), "scores", StorageConfig())
    assert results.tasks == (None if tasks is None else tasks.split(","))
    assert results.made_columns == made
    assert results.score_column == score
    assert not results.is_delta


def test_views_of_rewritten_files_are_strings(tmp_path: Path) -> None:
    """delta-rs writes them when it rewrites a file of a Delta table."""
    for name, kind in (("a", pa.string()), ("b", pa.string_view())):
        pq.write_table(pa.table({"row_id": [1], "text": pa.array([name], kind)}), tmp_path / f"{name}.parquet")
    results = open_results(str(tmp_path), "scores", StorageConfig())
    assert results.schema.field("text").type == pa.string()
    assert pa.concat_tables(results.read(["text"], 100))["text"].to_pylist() == ["a", "b"]


def test_no_results_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^scores: '.*' holds no \.parquet files; name the output folder of a job"):
        open_results(str(tmp_path), "scores", StorageConfig())
    with pytest.raises(ConfigError, match=r"^scores: '.*/nowhere' does not exist$"):
        open_results(f"{tmp_path}/nowhere", "scores", StorageConfig())
