"""Delta tables as input: which rows there are, what their columns are, which version is read."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import s3fs
from deltalake import DeltaTable, write_deltalake

from pipeline import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.parquet_columns import read_columns
from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile, diff
from pipeline.tables.file_columns import OpenedFiles
from pipeline.tables.formats.delta import log as delta_log
from pipeline.tables.formats.logged import apart
from pipeline.tables.manifest import Manifest
from pipeline.tables.table import list_table, open_table
from tests.pipeline.tables.delta_logs import add, column, deletion_vector, write_delta
from tests.pipeline.tables.reading import config, refusal, rows_of, some, table_of

BOTH = [column("image"), column("text")]
BASE = {"image": [b"i"] * 4, "text": ["a", "b", "c", "d"]}
VALUES = ["a b/c%", "x=y", None, "\u00e9"]


def texts_of(path: object, **keys: Any) -> list[str]:
    return sorted(row["text"] for row in rows_of(config(path, **keys)))


@pytest.fixture(autouse=True, params=["objects", "columns"])
def files_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few files are objects, and very many are columns: all else is the same."""
    monkeypatch.setattr("pipeline.tables.formats.delta.log.MANY_FILES", 10_000 if request.param == "objects" else 1)
    monkeypatch.setattr(Manifest, "session", lambda _: nullcontext())
    monkeypatch.setattr(Manifest, "read", lambda *_: None)
    monkeypatch.setattr(Manifest, "write", lambda *_: None)
    return str(request.param)


def test_both_are_the_same_files(table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A table that has grown: its files must not pass for changed ones, nor a stopped job for another."""
    spec = {"version": 2}
    write_deltalake(tmp_path / "p", pa.table({**BASE, "d%": VALUES}), partition_by=["d%"])
    for folder, keys in ((table, spec), (table, {}), (tmp_path / "p", {})):
        found = []
        for many in (10_000, 1):
            monkeypatch.setattr("pipeline.tables.formats.delta.log.MANY_FILES", many)
            opened = open_table(config(folder, **keys))
            assert isinstance(opened.files, OpenedFiles) == (many == 1)
            files = [(one.file, one.splits) for one in opened.files]
            found.append((files, opened.fingerprint, opened.rows, opened.schema, [one.version for one, _ in files]))
        assert found[0] == found[1]


def test_a_large_log_is_read_in_a_process_of_its_own(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read, and what is refused, is the same; a process that is killed is named."""
    here = open_table(config(table))
    DeltaTable(table).create_checkpoint()
    monkeypatch.setattr(delta_log, "LARGE", 1)
    monkeypatch.setattr(delta_log, "_open", lambda *_: pytest.fail("read in this process"))
    there = open_table(config(table))
    assert [*there.files] == [*here.files]
    assert (there.schema, there.version, there.fingerprint) == (here.schema, here.version, here.fingerprint)
    assert refusal(table, version=4).endswith("has versions from 0 to 3")
    monkeypatch.setattr(apart, "CHILD", "import os; os.kill(os.getpid(), 9)")
    assert refusal(table).endswith("the process that reads its log ended with code -9, perhaps for want of memory")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four versions: rows 0 to 9, more of them, one file in place of all, and a row deleted from it."""
    folder = tmp_path / "table"
    write_deltalake(folder, some(*range(10)))
    write_deltalake(folder, some(10, 11), mode="append")
    write_deltalake(folder, some(1, 2, 3), mode="overwrite")
    DeltaTable(folder).delete("text = '2'")
    return folder


def test_versions(table: Path) -> None:
    assert texts_of(table) == texts_of(table, version=3) == ["1", "3"]
    assert texts_of(table, version=2) == ["1", "2", "3"]
    assert len(texts_of(table, version=1)) == 12
    assert open_table(config(table, version=1)).version == "version 1"
    assert refusal(table, version=4).endswith("has versions from 0 to 3")
    assert refusal(table, version=-1).endswith("has versions from 0 to 3")
    assert "input.version: 'latest', but the Delta table" in refusal(table, version="latest")


def test_times_are_those_of_the_commits(table: Path) -> None:
    times = {
        one["version"]: datetime.fromtimestamp(one["timestamp"] / 1000, timezone.utc)
        for one in DeltaTable(table).history()
    }
    copied = table.parent / "copied"
    shutil.copytree(table, copied)  # the log's files are newer than its commits
    for folder in (table, copied):
        assert len(texts_of(folder, timestamp=times[1].isoformat())) == 12
        assert texts_of(folder, timestamp="2999-01-01") == ["1", "3"]
        early = refusal(folder, timestamp=(times[0] - timedelta(milliseconds=1)).isoformat())
        assert "is before the first version" in early
    assert "both are given" in refused_config(version=1, timestamp="2999-01-01")
    assert "'yesterday' is no time; write it as 2026-01-31T12:00:00Z" in refused_config(timestamp="yesterday")


def refused_config(**keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config("table", **keys)
    return str(caught.value)


def test_partitions_are_those_of_the_log(tmp_path: Path) -> None:
    days = pa.array([1, 2, 3, None], pa.date32())
    write_deltalake(tmp_path / "t", some(0, 1, 2, 3, k=VALUES, d=days), partition_by=["k", "d"])
    rows = {row["text"]: row for row in rows_of(config(tmp_path / "t"))}
    assert [rows[str(i)]["k"] for i in range(4)] == VALUES
    assert [rows[str(i)]["d"] for i in range(4)] == days.to_pylist()
    assert texts_of(tmp_path / "t", filter="k = 'x=y'") == ["1"]
    assert texts_of(tmp_path / "t", filter="k IS NULL OR d >= DATE '1970-01-04'") == ["2"]
    moved = {"ordinary/a.parquet": some(0), "k=wrong/b.parquet": some(1)}
    actions = [add("ordinary/a.parquet", {"k": "7"}), add("k=wrong/b.parquet", {"k": ""})]
    write_delta(tmp_path / "hand", [*BOTH, column("k", "integer")], actions, moved, partition_by=["k"])
    assert {row["text"]: row["k"] for row in rows_of(config(tmp_path / "hand"))} == {"0": 7, "1": None}


def test_renamed_columns(tmp_path: Path) -> None:
    struct = {
        "type": "struct",
        "fields": [column("bytes", "binary", id=5, physicalName="b"), column("path", id=6, physicalName="p")],
    }
    columns = [
        column("image", struct, id=1, physicalName="col-1"),
        column("text", id=2, physicalName="image"),
        column("k", id=3, physicalName="col-3"),
        column("new", "long", id=4, physicalName="col-4"),
    ]
    images = pa.array([{"p": "x.png", "b": b"x"}, None], pa.struct([("p", pa.string()), ("b", pa.binary())]))
    stored = pa.table({"col-1": images, "image": ["a", "b"], "text": ["not", "this"]})
    actions = [add("r/f.parquet", {"col-3": "v"})]
    settings = {"columnMapping.mode": "name", "columnMapping.maxColumnId": "6"}
    write_delta(tmp_path / "t", columns, actions, {"r/f.parquet": stored}, partition_by=["k"], **settings)
    assert rows_of(config(tmp_path / "t", columns=["k", "new"]))[0]["text"] == "a"
    table = table_of(config(tmp_path / "t")).drop_columns(["row_hash"])
    assert table.to_pylist() == [
        {"image": {"bytes": b"x", "path": "x.png"}, "text": "a", "k": "v", "new": None},
        {"image": None, "text": "b", "k": "v", "new": None},
    ]
    assert texts_of(tmp_path / "t", filter="text = 'b'") == ["b"], "not by the statistics of another column"


def test_columns_by_id(tmp_path: Path) -> None:
    columns = [column("image", id=1, physicalName="x"), column("text", id=2, physicalName="y")]
    ids = [
        pa.field(name, pa.string(), metadata={"PARQUET:field_id": number})
        for name, number in (("text", "1"), ("image", "2"))
    ]
    stored = {"f.parquet": pa.table([["0.png"], ["0"]], pa.schema(ids))}
    settings = {"columnMapping.mode": "id", "columnMapping.maxColumnId": "2"}
    write_delta(tmp_path / "t", columns, [add("f.parquet")], stored, **settings)
    assert table_of(config(tmp_path / "t")).drop_columns(["row_hash"]).to_pylist() == [{"image": "0.png", "text": "0"}]


def test_nested_columns_that_were_renamed_are_refused_by_name(tmp_path: Path) -> None:
    item = {"type": "struct", "fields": [column("x", "long", id=4, physicalName="q")]}
    columns = [
        column("image", id=1, physicalName="image"),
        column("text", id=2, physicalName="text"),
        column("boxes", {"type": "array", "elementType": item, "containsNull": True}, id=3, physicalName="boxes"),
    ]
    settings = {"columnMapping.mode": "name", "columnMapping.maxColumnId": "4"}
    write_delta(tmp_path / "t", columns, [add("f.parquet")], {"f.parquet": some(0, boxes=[[{"q": 1}]])}, **settings)
    assert "column 'boxes' cannot be read: column 'boxes' is list<" in refusal(tmp_path / "t")
    assert texts_of(tmp_path / "t", columns=["text"]) == ["0"]


def test_deletion_vectors(tmp_path: Path) -> None:
    files = {"k=x%3Dy/f.parquet": some(0, 1, 2, 3, 4), "g.parquet": some(5, 6)}
    first = [
        add("k=x%253Dy/f.parquet", deletionVector=deletion_vector([1, 3]), stats='{"numRecords": 5}'),
        add("g.parquet"),
    ]
    write_delta(tmp_path / "t", BOTH, first, files, features=["deletionVectors"])
    whole = table_of(config(tmp_path / "t"))
    assert sorted(whole["text"].to_pylist()) == ["0", "2", "4", "5", "6"]
    assert texts_of(tmp_path / "t", filter="text <= '3'") == ["0", "2"]
    write_delta(tmp_path / "all", BOTH, [add("k=x%253Dy/f.parquet"), add("g.parquet")], files)
    hashes = {row["text"]: row["row_hash"] for row in rows_of(config(tmp_path / "all"))}
    assert all(hashes[row["text"]] == row["row_hash"] for row in whole.to_pylist()), "deleting leaves other rows' ids"
    assert open_table(config(tmp_path / "t")).fingerprint != open_table(config(tmp_path / "all")).fingerprint


@pytest.mark.parametrize(
    "path", ["../other/f.parquet", "x/%2E%2E/%2e%2e/f.parquet", "/etc/f.parquet", "s3://b/f.parquet", "file:///etc/f"]
)
def test_files_outside_of_the_folder(path: str, tmp_path: Path) -> None:
    write_delta(tmp_path / "t", BOTH, [add(path)], {})
    assert "outside of the table's folder: shallow clones are not read; make a deep clone" in refusal(tmp_path / "t")


def test_tables_that_cannot_be_read(table: Path, tmp_path: Path) -> None:
    write_delta(tmp_path / "new", BOTH, [add("f.parquet")], {}, features=["variantType"])
    assert "needs readers that know variantType, which is not read yet" in refusal(tmp_path / "new")
    write_delta(tmp_path / "newer", BOTH, [add("f.parquet")], {}, features=["fancy"])
    assert "cannot read the Delta table" in refusal(tmp_path / "newer")
    write_delta(tmp_path / "empty", BOTH, [], {})
    assert "version 0 of the Delta table" in refusal(tmp_path / "empty")
    (tmp_path / "no" / "_delta_log").mkdir(parents=True)
    (tmp_path / "no" / "_delta_log" / "x").write_text("")
    assert "cannot read the Delta table" in refusal(tmp_path / "no")
    assert "is within" in refusal(f"{table}/*.parquet")
    assert "name the table's folder" in refusal(table.parent)
    assert "input.format: 'parquet', but" in refusal(table, format="parquet")
    assert texts_of(table, format="delta") == ["1", "3"]


def test_a_vacuumed_version(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.vanished_files.PAUSES", ())
    DeltaTable(table).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert texts_of(table) == ["1", "3"]
    assert "is not there now: was the table changed?; the log of version 1 lists it" in refusal(table, version=1)


def test_what_changed_is_what_the_log_says(tmp_path: Path) -> None:
    def listed() -> Any:
        return list_table(InputConfig(path=str(tmp_path / "t")), StorageConfig())

    write_deltalake(tmp_path / "t", some(0, 1))
    before = listed()
    files = {file.name: SnapshotFile(file.version, 2, pa.schema([])) for file in before.files}
    write_deltalake(tmp_path / "t", some(2), mode="append")
    now = listed()
    changes = diff(InputSnapshot(files), now.files)
    assert (len(changes.new), len(changes.changed), len(changes.outdated)) == (1, 0, 0)
    assert (before.version, now.version) == ("version 0", "version 1")
    DeltaTable(tmp_path / "t").vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert not diff(InputSnapshot(files), listed().files).changed


def test_results_to_evaluate(table: Path) -> None:
    read = list(read_columns(str(table), "vqa.results", ["text"], StorageConfig(), ["answer"]))
    assert pa.concat_tables(read).to_pylist() == [{"text": text, "answer": None} for text in ("1", "3")]
    with pytest.raises(ConfigError, match=r"^vqa.results: .* has another layout: expected the columns question_id"):
        list(read_columns(str(table), "vqa.results", ["question_id"], StorageConfig()))


def test_on_s3(s3_server: str, files_as: str) -> None:
    assert s3_server
    s3fs.S3FileSystem().mkdir(f"tables-delta-{files_as}")
    path = f"s3://tables-delta-{files_as}/t"
    options = {"AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag"}
    write_deltalake(path, some(0, 1, k=["x=y", "z"]), partition_by=["k"], storage_options=options)
    write_deltalake(path, some(2, k=["z"]), mode="append", storage_options=options)
    assert {row["text"]: row["k"] for row in rows_of(config(path))} == {"0": "x=y", "1": "z", "2": "z"}
    assert texts_of(path, version=0) == ["0", "1"]
