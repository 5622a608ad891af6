"""The conditions of `keep`: checked against the results, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.filter import KeepConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.conditions import Conditions, check_conditions
from pipeline.results.reader import open_results
from tests.pipeline.filtering.test_selection import result, verdicts, write


def checked(folder: Path, columns: dict[str, pa.Array], task: str | None = "score", **keep: Any) -> Conditions:
    """Check conditions on results with these columns."""
    rows = len(next(iter(columns.values())))
    table = pa.table({"row_id": range(rows), "error": pa.nulls(rows, pa.string()), **columns})
    if task is not None:
        table = table.replace_schema_metadata({"vilt.task": task})
    pq.write_table(table, folder / "part-0.parquet")
    results = open_results(str(folder), "scores", StorageConfig())
    return check_conditions(duckdb.connect(), KeepConfig.checked(keep), results)


SCORE, ANSWER = pa.array([0.5], pa.float32()), pa.array(["yes"])


def test_the_score_is_the_one_that_the_job_made(tmp_path: Path) -> None:
    """Whatever columns a user has; named ones count first, and doubles keep their precision."""
    both = {"score": pa.array([1.0]), "answer_score": SCORE, "answer": ANSWER}
    found = checked(tmp_path, both, "answer", top=0.5)
    assert (found.score, found.score_type) == ("answer_score", "FLOAT")
    found = checked(tmp_path, both, "answer", top=0.5, score="score")
    assert (found.score, found.score_type) == ("score", "DOUBLE")
    assert checked(tmp_path, {"n": pa.array([1], pa.int8()), "score": SCORE}, top=1, score="n").score_type == "DOUBLE"
    assert checked(tmp_path, {"tags": ANSWER}, "tag", where="tags = 'x'").score is None


def test_answers_are_those_that_the_job_made(tmp_path: Path) -> None:
    checked(tmp_path, {"answer": ANSWER, "answer_score": SCORE}, "answer", answer="yes")
    checked(tmp_path, {"answer": ANSWER}, None, answer="yes")
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, {"answer": ANSWER, "score": SCORE}, "score", answer="yes")
    assert str(caught.value) == (
        f"keep.answer: {str(tmp_path)!r} holds results of score, which have no answers; the column 'answer' is the "
        "table's own: compare it in keep.where"
    )
    with pytest.raises(ConfigError, match=r"^keep\.answer: '.*' holds results of score, which have no answers$"):
        checked(tmp_path, {"score": SCORE}, "score", answer="yes")
    with pytest.raises(ConfigError, match=r"^keep\.answer: the table has no column 'answer'; it has row_id, error, n$"):
        checked(tmp_path, {"n": SCORE}, None, answer="yes")


def test_tables_that_are_no_results(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row_id": [1], "score": [0.5]}), tmp_path / "a.parquet")
    results = open_results(str(tmp_path), "scores", StorageConfig())
    with pytest.raises(ConfigError) as caught:
        check_conditions(duckdb.connect(), KeepConfig.checked({"top": 0.5}), results)
    assert str(caught.value) == (f"scores: {str(tmp_path)!r} has no column 'error': these are not the results of a job")


def test_names_that_sql_cannot_tell_apart(tmp_path: Path) -> None:
    columns = {"score": SCORE, "Width": SCORE, "width": SCORE}
    with pytest.raises(
        ConfigError, match=r"^keep\.where: 'width > 1' names one of Width, width, whose names SQL cannot"
    ):
        checked(tmp_path, columns, where="width > 1")
    checked(tmp_path, columns, where="score > 1 and 'width' is not null")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            {"where": "scor > 1"},
            "keep.where: 'scor > 1' is no condition on the results: .*\"scor\".*; the columns are row",
        ),
        ({"where": "score"}, "keep.where: 'score' is FLOAT, not true or false"),
        ({"where": "source = 1"}, "keep.where: 'source = 1' fails on the results: Could not convert string 'a'"),
        ({"where": "avg(score) > 1"}, "keep.where: .* cannot contain aggregates"),
        ({"where": "true); DROP TABLE rows; --"}, "keep.where: .* syntax error"),
        ({"where": "true; DROP TABLE rows"}, "keep.where: .* (more than one|a single SELECT) statement"),
        ({"where": "exists(SELECT 1 FROM read_text('/etc/passwd'))"}, "keep.where: .* disabled by configuration"),
        ({"top": 0.5, "by": "sourc"}, "keep.by: the table has no column 'sourc'; did you mean 'source'"),
        ({"top": 0.5, "score": "answer"}, "keep.score: column 'answer' is string, not a number"),
        ({"by": "source", "min_score": 1}, "config: keep.by: given without keep.top"),
        ({}, "config: keep: holds no condition; give one or several of where, min_score, beats, top, answer"),
        ({"top": 0}, "config: top: 0 is wrong; input should be greater than 0"),
    ],
)
def test_a_condition_that_cannot_be_used_is_one_line(tmp_path: Path, keep: dict[str, Any], message: str) -> None:
    results = write(tmp_path, [result(1, 0.5, source="a")])
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        verdicts(results, [1], **keep)
    assert "\n" not in str(caught.value)


def test_results_without_a_score(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"row_id": [1, 2], "tags": [["a"], []], "error": pa.nulls(2, pa.string())}), tmp_path / "a.parquet"
    )
    results = open_results(str(tmp_path), "scores", StorageConfig())
    assert verdicts(results, [1, 2], where="len(tags) > 0") == {1: None, 2: "where"}
    with pytest.raises(ConfigError, match=r"keep\.top: the results have none of the columns score, answer_score"):
        verdicts(results, [1, 2], top=0.5)
