"""Commits that every reader sees whole, or that are refused before the log is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder
from fsspec.implementations.local import LocalFileSystem

from pipeline.common.errors import ConfigError, RowsLostError
from pipeline.config.job import StorageConfig
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import Added, DataFile, add_action
from pipeline.results.delta.table import ResultTable
from tests.pipeline.tables.delta_logs import add, column, deletion_vector, write_delta

COMMIT = Commit("token", {}, {"rows_in": 0, "rows_out": 0}, {}, {}, 0.0, {})
ODD_NAMES = pa.table(
    {
        "meta": [{"width": 1}, {"width": 2}],
        "meta.width": [3, 4],
        "a": [1, 2],
        "a.b": ["x", "y"],
        "row_source.file": ["q", "r"],
        "ok": [True, False],
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "row_source": [{"file": "in/1", "row": 0}, {"file": "in/2", "row": 0}],
    }
)


def put(folder: Path, name: str, rows: pa.Table) -> Added:
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / "parts" / name)
    size = (folder / "parts" / name).stat().st_size
    return add_action(LocalFileSystem(), str(folder), f"parts/{name}", size)


def commit(folder: Path, adds: Sequence[Added], removes: Sequence[DataFile], schema: pa.Schema) -> int:
    return ResultTable(str(folder), StorageConfig()).commit(adds, removes, schema, COMMIT)


def files(folder: Path) -> list[DataFile]:
    return ResultTable(str(folder), StorageConfig()).files()


def test_every_engine_finds_the_rows_whatever_columns_are_called(tmp_path: Path) -> None:
    commit(tmp_path, [put(tmp_path, "1.parquet", ODD_NAMES)], [], ODD_NAMES.schema)
    table = DeltaTable(tmp_path)
    dataset = table.to_pyarrow_dataset()
    assert dataset.to_table().to_pylist() == ODD_NAMES.to_pylist()
    assert dataset.to_table(filter=pc.field("meta", "width") > 1).num_rows == 1
    assert dataset.to_table(filter=pc.field("meta.width") > 3).num_rows == 1
    database = duckdb.connect()
    database.register("t", dataset)
    for condition in ('"meta.width" > 3', "meta['width'] > 1", "\"a.b\" = 'y'", "ok", "a > 1"):
        query = f"SELECT count(*) AS n FROM t WHERE {condition}"
        found = pa.table(QueryBuilder().register("t", table).execute(query).read_all())
        assert found["n"].to_pylist() == [1], condition
        assert database.execute(query).fetchall() == [(1,)], condition
    assert [file.rows for file in files(tmp_path)] == [2]
    file = put(tmp_path, "1.parquet", ODD_NAMES).file
    assert (file.rows, file.first, file.last) == (2, "in/1", "in/2")


def test_columns_that_come_later_and_types_that_change(tmp_path: Path) -> None:
    first = pa.table({"n": [1]})
    commit(tmp_path, [put(tmp_path, "1.parquet", first)], [], first.schema)
    more = pa.table({"n": [2], "at": pa.array([5], pa.timestamp("us"))})
    commit(tmp_path, [put(tmp_path, "2.parquet", more)], [], more.schema)
    assert DeltaTable(tmp_path).to_pyarrow_table().sort_by("n")["at"].null_count == 1
    other = pa.table({"n": ["x"], "at": pa.array([6], pa.timestamp("us", "UTC"))})
    commit(tmp_path, [put(tmp_path, "3.parquet", other)], files(tmp_path), other.schema)
    assert DeltaTable(tmp_path).to_pyarrow_table().to_pylist() == other.to_pylist()
    assert [file.path for file in files(tmp_path)] == ["parts/3.parquet"]
    table = ResultTable(str(tmp_path), StorageConfig())
    version = table.restore(0, replace(COMMIT, restored=0))
    assert DeltaTable(tmp_path, version=version).to_pyarrow_table().to_pylist() == first.to_pylist()


def test_times_without_a_zone_in_a_table_that_had_none(tmp_path: Path) -> None:
    first, other = pa.table({"x": [1]}), pa.table({"x": pa.array([6], pa.timestamp("us"))})
    commit(tmp_path, [put(tmp_path, "1.parquet", first)], [], first.schema)
    commit(tmp_path, [put(tmp_path, "2.parquet", other)], files(tmp_path), other.schema)
    assert DeltaTable(tmp_path).to_pyarrow_table().to_pylist() == other.to_pylist()


def test_an_entry_that_no_reader_understands_is_not_committed(tmp_path: Path) -> None:
    rows = pa.table({"map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))})
    commit(tmp_path, [put(tmp_path, "1.parquet", rows)], [], rows.schema)
    bad = put(tmp_path, "2.parquet", rows)
    bad.action.stats = '{"numRecords": 1, "nullCount": {"map": {"key_value": {"key": 0}}}}'
    with pytest.raises(RowsLostError, match=r"could not be read: .*; nothing was committed"):
        commit(tmp_path, [bad], [], rows.schema)
    bad.action.stats = '{"numRecords": 2}'
    with pytest.raises(RowsLostError, match="nothing was committed"):
        commit(tmp_path, [bad], [], rows.schema)
    assert DeltaTable(tmp_path).version() == 0


def test_a_commit_that_cannot_be_read_back_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"n": [1]})
    commit(tmp_path, [put(tmp_path, "1.parquet", rows)], [], rows.schema)
    add = put(tmp_path, "2.parquet", rows)
    monkeypatch.setattr("pipeline.results.delta.table._rehearse", lambda *_: None)
    with pytest.raises(RowsLostError, match=r"cannot be read back: .*; version 0 was restored"):
        commit(tmp_path, [replace(add, file=replace(add.file, rows=5))], [], rows.schema)
    assert DeltaTable(tmp_path).to_pyarrow_table().to_pylist() == [{"n": 1}]
    latest = ResultTable(str(tmp_path), StorageConfig()).latest()
    assert latest is not None
    assert (latest.version, latest.restored) == (2, 0)


def test_what_a_commit_says_of_itself(tmp_path: Path) -> None:
    rows = pa.table({"n": [1]})
    said = replace(COMMIT, standing={"image_missing": 1}, counts={"rows_in": 1, "rows_out": 1})
    table = ResultTable(str(tmp_path), StorageConfig())
    table.commit([put(tmp_path, "1.parquet", rows)], [], rows.schema, said)
    found = ResultTable(str(tmp_path), StorageConfig()).latest()
    assert found == said
    assert (found.version, found.standing) == (0, {"image_missing": 1})


def test_rows_that_another_program_has_deleted_in_the_log_alone_are_not_read(tmp_path: Path) -> None:
    """As Spark does, where deletion vectors are switched on; deltalake writes none."""
    rows, columns = {"a.parquet": pa.table({"text": ["a", "b", "c"]})}, [column("text")]
    deleted = add("a.parquet", stats='{"numRecords": 3}', deletionVector=deletion_vector([1]))
    write_delta(tmp_path / "on", columns, [add("a.parquet")], rows, ["deletionVectors"])
    assert [file.path for file in files(tmp_path / "on")] == ["a.parquet"]
    write_delta(tmp_path / "used", columns, [deleted], rows, ["deletionVectors"])
    with pytest.raises(ConfigError, match=r"rows of '.*used' are deleted in its log alone.*: write its files anew, in"):
        files(tmp_path / "used")


def test_columns_that_another_program_has_renamed_are_not_read(tmp_path: Path) -> None:
    columns, mapped = [column("caption", id=1, physicalName="text")], {"columnMapping.mode": "name"}
    rows = {"a.parquet": pa.table({"text": ["a"]})}
    write_delta(tmp_path, columns, [add("a.parquet")], rows, ["columnMapping"], **mapped)
    with pytest.raises(ConfigError, match="renames columns of its files, which results are not read with"):
        files(tmp_path)
