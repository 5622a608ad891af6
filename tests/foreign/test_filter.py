"""`vilt filter` over tables and results as other tools write them: the right rows, or one line before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.tables.table import open_files

IDS = [1, 2, 3, 4]
FAR = datetime(9999, 12, 31, 1, 2, 3, 4)


class Case(NamedTuple):
    """What is written below a folder, and what a filter over it gives: ids that are kept, or the line that refuses."""

    write: Callable[[Path], None]
    config: dict[str, Any]
    kept: list[int] | str


def table(folder: Path, **columns: Any) -> None:
    """A table of four rows, as pandas writes it."""
    (folder / "table").mkdir()
    pd.DataFrame({"id": IDS, **columns}).to_parquet(folder / "table" / "a.parquet")


def results(folder: Path, tasks: str | None, **columns: Any) -> None:
    """Results of a job; of another program if it names no task."""
    (folder / "scores").mkdir()
    made = pa.table({"row_id": pa.array(columns.pop("row_id", IDS), pa.int64()), **columns})
    made = made.append_column("error", pa.nulls(made.num_rows, pa.string()))
    metadata = {} if tasks is None else {"vilt.task": tasks}
    pq.write_table(made.replace_schema_metadata(metadata), folder / "scores" / "part-0.parquet")
    if tasks is not None:
        seen = open_files(InputConfig(path=str(folder / "table")), StorageConfig())
        summary: dict[str, Any] = {"tasks": tasks.split(","), "input": {"id": "id"}, "rows_in": 4, "files": []}
        summary |= {"identity": {"input": seen.fingerprint}, "lineage": {}}
        (folder / "scores" / "_summary.json").write_text(json.dumps(summary))


def scored(tasks: str | None = "score", **columns: Any) -> Callable[[Path], None]:
    """A table, and its results with these columns."""

    def write(folder: Path) -> None:
        table(folder)
        results(folder, tasks, **columns)

    return write


def ids_of(ids: list[int | None]) -> Callable[[Path], None]:
    """A table with these ids, and results of the first four."""

    def write(folder: Path) -> None:
        table(folder)
        pd.DataFrame({"id": pd.array(ids, "Int64")}).to_parquet(folder / "table" / "a.parquet")
        results(folder, "score", score=[0.1, 0.2, 0.3, 0.4])

    return write


def rewritten(folder: Path) -> None:
    """The table in another order of rows, after it was scored."""
    scored(score=[0.1, 0.2, 0.3, 0.4])(folder)
    duckdb.sql(
        f"COPY (SELECT 5 - id AS id FROM range(4) r(i), LATERAL (SELECT i + 1 AS id)) TO '{folder}/table/a.parquet'"
    )
    os.utime(folder / "table" / "a.parquet", (1, 1))


def nested(folder: Path) -> None:
    """A struct whose fields differ in case only."""
    meta = pa.array([{"Width": 10 * i, "width": i} for i in IDS])
    scored(score=[0.1, 0.2, 0.3, 0.4], meta=meta)(folder)


OWN = [4.0, 3.0, 2.0, 1.0]  # a user's own numbers, in the opposite order
MADE = pa.array([0.1, 0.2, 0.3, 0.4], pa.float32())
TOP = {"top": 0.5}

CASES: dict[str, Case] = {
    "own Score first": Case(scored(Score=OWN, score=MADE), {"keep": TOP}, [3, 4]),
    "own Score last": Case(scored(score=MADE, Score=OWN), {"keep": TOP}, [3, 4]),
    "own Score and SCORE": Case(scored(Score=OWN, score=MADE, SCORE=OWN), {"keep": {"min_score": 0.35}}, [4]),
    "own Score, named": Case(scored(Score=OWN, score=MADE), {"keep": {**TOP, "score": "Score"}}, [1, 2]),
    "own Score, as a group": Case(scored(Score=[1, 1, 2, 2], score=MADE), {"keep": {**TOP, "by": "Score"}}, [2, 4]),
    "own Score, renamed in SQL": Case(scored(Score=OWN, score=MADE), {"keep": {"where": '"Score (2)" > 3'}}, [1]),
    "made score in SQL": Case(scored(Score=OWN, score=MADE), {"keep": {"where": "score > 0.35"}}, [4]),
    "own Score in SQL": Case(
        scored(Score=OWN, score=MADE),
        {"keep": {"where": "Score > 3 and source = 'Score'"}},
        "keep.where: \"Score > 3 and source = 'Score'\" names one of Score, score, whose names SQL cannot tell apart; "
        'the columns are row_id, "Score (2)", score, error',
    ),
    "own note and Note": Case(
        scored(score=MADE, note=OWN, Note=MADE), {"keep": {"where": "note > 3"}}, "keep.where: 'note > 3' names one of"
    ),
    "a text that is a name": Case(
        scored(score=MADE, note=["Note"] * 4, nOTE=MADE, kind=["note", "a", "b", "c"]),
        {"keep": {"where": "kind = 'note'"}},
        [1],
    ),
    "fields that differ in case": Case(
        nested, {"keep": {"where": "meta.width > 3"}}, "keep.where: 'meta.width > 3' names"
    ),
    "own Row_Id and ERROR": Case(
        scored(Row_Id=OWN, ERROR=["x"] * 4, Text_Index=[7] * 4, score=MADE), {"keep": TOP}, [3, 4]
    ),
    "own score beside answers": Case(
        scored("answer", score=OWN, answer=["yes", "no", "no", "no"], answer_score=MADE), {"keep": TOP}, [3, 4]
    ),
    "own answer beside scores": Case(
        scored(answer=[2, 3, 2, 3], score=MADE),
        {"keep": {"answer": "2"}},
        "keep.answer: '{folder}/scores' holds results of score, which have no answers; the column 'answer' is the "
        "table's own: compare it in keep.where",
    ),
    "own label_score beside scores": Case(
        scored("embed", label_score=OWN), {"keep": TOP}, "keep.top: the results have none"
    ),
    "answers of another program": Case(scored(None, answer=[2, 3, 2, 3]), {"keep": {"answer": 2}}, [1, 3]),
    "scores of another program": Case(scored(None, Score=OWN, score=MADE), {"keep": TOP}, [3, 4]),
    "rewritten since": Case(
        rewritten,
        {"keep": TOP},
        "scores: '{folder}/scores' is of another table, or the table has changed since: the names, sizes or versions "
        "of its files are others; score it again, or set allow_changed=true to trust the ids in input.id",
    ),
    "rewritten, ids trusted": Case(rewritten, {"keep": TOP, "allow_changed": True}, [4, 3]),
    "rewritten, no ids to trust": Case(
        rewritten,
        {"keep": TOP, "allow_changed": True, "input": {"path": "{folder}/table"}},
        "config: allow_changed: true, but without input.id the rows are known by their files and row numbers alone",
    ),
    "scored by another id": Case(
        scored(score=MADE),
        {"keep": TOP, "input": {"path": "{folder}/table"}},
        "input.id: None, but the scores in '{folder}/scores' were made with input.id='id'; set the same here",
    ),
    "null ids": Case(
        ids_of([1, 2, None, None]),
        {"keep": TOP, "allow_changed": True},
        "input.id: column 'id' is null in 2 rows, whose results cannot be found",
    ),
    "ids that stand twice": Case(
        ids_of([1, 2, 2, 3]),
        {"keep": TOP, "allow_changed": True},
        "input.id: 1 row id (as 2) stand in several rows, whose results cannot be told apart",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_right_rows_or_one_line(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    case.write(tmp_path)
    values = {
        "input": {"path": "{folder}/table", "id": "id"},
        "scores": "{folder}/scores",
        "output": {"path": "{folder}/out", "report": False},
        **case.config,
    }
    values = json.loads(json.dumps(values).replace("{folder}", str(tmp_path)))
    if isinstance(case.kept, list):
        filter_table(FilterConfig.checked(values))
        assert pq.read_table(tmp_path / "out" / "kept" / "a.parquet")["id"].to_pylist() == case.kept
        return
    with pytest.raises(ConfigError) as caught:
        filter_table(FilterConfig.checked(values))
    assert str(caught.value).startswith(case.kept.replace("{folder}", str(tmp_path)))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "kept").exists()


def times(path: Path, values: list[datetime | None], **options: Any) -> pa.Table:
    """Times as Spark and Impala write them."""
    columns = pa.table(
        {"id": pa.array(IDS), "at": pa.array(values, pa.timestamp("us")), "all": [[v for v in values if v]] * 4}
    )
    columns = columns.set_column(2, "all", columns["all"].cast(pa.list_(pa.timestamp("us"))))
    pq.write_table(columns, path, use_deprecated_int96_timestamps=True, **options)
    return columns


def filtered(folder: Path) -> Path:
    values = {
        "input": {"path": f"{folder}/table", "id": "id"},
        "scores": f"{folder}/scores",
        "keep": {"min_score": 0},
        "output": {"path": f"{folder}/out", "report": False},
    }
    filter_table(FilterConfig.checked(values))
    return folder / "out" / "kept" / "a.parquet"


def test_int96_times_of_any_year_are_copied(tmp_path: Path) -> None:
    table(tmp_path)
    written = times(
        tmp_path / "table" / "a.parquet", [datetime(1, 1, 1), datetime(2020, 1, 1), FAR, None], row_group_size=2
    )
    results(tmp_path, "score", score=MADE)
    kept = filtered(tmp_path)
    assert pq.ParquetFile(kept, coerce_int96_timestamp_unit="us").read() == written
    kinds = [pq.ParquetFile(kept).schema.column(i).physical_type for i in range(3)]
    assert kinds == ["INT64", "INT96", "INT96"]
    assert duckdb.sql(f"SELECT max(\"at\")::VARCHAR FROM '{kept}'").fetchall() == [("9999-12-31 01:02:03.000004",)]


def test_int96_nanoseconds_are_copied_or_refused(tmp_path: Path) -> None:
    """One column cannot hold both in any of pyarrow's units."""
    table(tmp_path)
    path = tmp_path / "table" / "a.parquet"
    exact = pa.table({"id": IDS, "at": pa.array([1, 2, 3, None], pa.timestamp("ns"))})
    pq.write_table(exact, path, use_deprecated_int96_timestamps=True)
    results(tmp_path, "score", score=MADE)
    assert pq.read_table(filtered(tmp_path)) == exact

    near = pa.table({"id": IDS, "at": pa.array([1, 2, 3, 4], pa.timestamp("ns")), "far": pa.array([FAR] * 4)})
    pq.write_table(near, path, use_deprecated_int96_timestamps=True)
    (tmp_path / "scores" / "_summary.json").unlink()
    values = {
        "input": {"path": f"{tmp_path}/table", "id": "id"},
        "scores": f"{tmp_path}/scores",
        "keep": {"min_score": 0},
        "output": {"path": f"{tmp_path}/other", "report": False},
    }
    with pytest.raises(
        ConfigError,
        match="write them as microseconds",
    ):
        filter_table(FilterConfig.checked(values))
    assert not (tmp_path / "other" / "kept").exists()
