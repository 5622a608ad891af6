"""Results that a stranger wrote: what they say opens nothing, and what is wrong with them is one line."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.common import row_ranges
from pipeline.common.row_ranges import RowSet
from pipeline.config.storage import StorageConfig
from pipeline.results.distribution import distribution
from pipeline.results.file_footer import ResultFile
from pipeline.results.loading import load_rows, outcomes_of
from pipeline.results.reader import open_results, read_summary, written_in
from pipeline.results.result_table import result_files
from pipeline.results.untrusted import check_paths, check_summary
from pipeline.tables.database import temporary_database

SUMMARY: dict[str, Any] = {
    "tasks": ["score"], "rows_in": 1, "pairs": 1, "seconds": 1.0, "files": [], "lineage": {}, "rejected": {},
}  # fmt: skip
FILTER: dict[str, Any] = {
    "tasks": ["filter"], "rows_in": 1, "kept": 1, "dropped": {}, "keep": {}, "score": None, "lowest_kept": None,
    "scores": None, "examples": {}, "seconds": 1.0, "files": [], "lineage": {},
}  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def table_at(folder: Path) -> pa.Table:
    table = pa.table({"row_id": [1], "score": [0.5], "error": pa.array([None], pa.string())})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "part-0.parquet")
    return table


def write_log(folder: Path, schema: pa.Schema, path: str) -> None:
    """Write a Delta table of one file, whose path stands in the log as it is given."""
    action = AddAction("x.parquet", 100, {}, 0, True, json.dumps({"numRecords": 1}))
    create_table_with_add_actions(str(folder), Schema.from_arrow(schema), [action])
    log = folder / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace('"x.parquet"', json.dumps(path)))


@pytest.mark.parametrize(
    "path",
    ["../private/part-0.parquet", "{private}/part-0.parquet", "file://{private}/part-0.parquet", "a/../../private/x",
     "%2e%2e/private/part-0.parquet", "..%2Fprivate/part-0.parquet", "s3://bucket/x.parquet", "a::file:///etc/passwd"],
)  # fmt: skip
def test_a_log_names_files_of_its_folder_alone(tmp_path: Path, path: str) -> None:
    write_log(tmp_path / "out", table_at(tmp_path / "private").schema, path.format(private=tmp_path / "private"))
    for read in (lambda uri, storage: open_results(uri, "scores", storage), result_files):
        with pytest.raises(ConfigError, match="which is not below its folder: not read") as caught:
            read(str(tmp_path / "out"), StorageConfig())
        assert "\n" not in str(caught.value)


def test_paths_of_our_own_tables_are_read() -> None:
    check_paths(["parts/0a-b/part-00000.parquet", "part=a b/..x.parquet", "part=%C3%BC/x.parquet"], "table")


def test_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    write_log(tmp_path / "out", table_at(tmp_path / "private").schema, "a.parquet")
    (tmp_path / "out" / "a.parquet").symlink_to(tmp_path / "private" / "part-0.parquet")
    with pytest.raises(ConfigError, match=r"'a\.parquet' is a symbolic link out of the folder"):
        open_results(str(tmp_path / "out"), "scores", StorageConfig())
    os.symlink(tmp_path / "private", tmp_path / "other")  # the caller's own link to a folder of results
    assert len(open_results(str(tmp_path / "other"), "scores", StorageConfig()).paths) == 1


@pytest.mark.parametrize(
    "content",
    [b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"tasks": ["score"], "rows_in": ' + b"9" * 5000 + b"}", b"{}",
     json.dumps({**SUMMARY, "rows_in": -1}).encode(), json.dumps({**SUMMARY, "lineage": {"a": ["b"]}}).encode(),
     json.dumps({**FILTER, "scores": {"rows": 1}}).encode(), json.dumps({**FILTER, "examples": None}).encode()],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_summary_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "_summary.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^OUT: the _summary\.json of '.*' is ") as caught:
        read_summary(str(tmp_path), "OUT", StorageConfig())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("values", [SUMMARY, FILTER])
def test_what_jobs_write_is_read(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / "_summary.json").write_text(json.dumps(values))
    assert read_summary(str(tmp_path), "OUT", StorageConfig()) == values


@given(st.sampled_from([SUMMARY, FILTER]), st.dictionaries(st.sampled_from([*SUMMARY, *FILTER]), VALUES, max_size=3))
@example(SUMMARY, {"lineage": {"\n": None}})
def test_any_values_are_read_or_refused(values: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        check_summary({**values, **changes}, "OUT")
    except ConfigError as error:
        assert "\n" not in str(error)


def test_ranges_of_rows_do_not_unfold_to_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_ranges, "MOST_RANGE_BYTES", 2**20)
    bomb = base64.b64encode(zlib.compress(bytes(2**21), 9)).decode()
    with pytest.raises(ValueError, match="more ranges of rows than a file has"):
        RowSet.decode(bomb)
    rows = RowSet.of_range(3, 70)
    assert RowSet.decode(rows.encode()) == rows


FOOTERS: dict[str, dict[str, Any]] = {
    "grids.y": {"grids": {"y": 10**300}},
    "tokens": {"tokens": -5},
    "pairs": {"pairs": "9"},
    "errors.a": {"errors": {"a": 1.5}},
    "at": {"at": 1e300},
    "model_seconds": {"model_seconds": float("nan")},
    "steps": {"steps": [[-1e300, 5]]},
    "a name": {"name": 5},
    "'int' object": {"grids": 5},
}


@pytest.mark.parametrize("name", FOOTERS)
def test_footers_that_no_job_writes(name: str) -> None:
    good = json.loads(ResultFile(name="part-0.parquet", rows=2, at=1.0).to_json())
    assert written_in([json.dumps(good), None], "out")[0].rows == 2
    with pytest.raises(ConfigError, match=f"'out': a file's footer is damaged: .*{name}"):
        written_in([json.dumps({**good, **FOOTERS[name]})], "out")


@pytest.mark.parametrize("score", [pa.array(["x"]), pa.array([[1.0]]), pa.array([2**62])])
def test_scores_of_other_types(tmp_path: Path, score: pa.Array) -> None:
    table = pa.table({"row_id": [1], "score": score, "error": pa.nulls(1, pa.string())})
    pq.write_table(table, tmp_path / "part-0.parquet")
    files = result_files(str(tmp_path), StorageConfig())
    values = outcomes_of(["score"], files.schema).values
    with temporary_database() as database, pytest.raises(ConfigError, match=r"OUT: column 'score' is .*, and a job"):
        load_rows(database, "loaded", files, values)


def test_scores_too_far_apart_to_be_drawn() -> None:
    with temporary_database() as database:
        source = "(SELECT unnest([-1e308, 1e308]) AS score, true AS kept)"
        with pytest.raises(ConfigError, match="none that a job writes"):
            distribution(database, source)
