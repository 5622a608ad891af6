"""Iceberg tables as input, as pyiceberg writes them: snapshots, renamed columns, partitions, deletes, S3."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import DataScan, FileScanTask, Table
from pyiceberg.types import LongType, StringType
from pyiceberg.utils.config import Config

from pipeline.tables.formats.iceberg import metadata_files
from pipeline.tables.formats.iceberg import snapshot as iceberg_snapshot
from pipeline.tables.formats.logged import apart
from pipeline.tables.manifest import Manifest
from pipeline.tables.table import open_table
from tests.pipeline.storage.parquet.page_bytes import varint
from tests.pipeline.tables.reading import config, refusal, rows_of, some

KINDS = ["POSITION_DELETES PARQUET", "POSITION_DELETES PUFFIN", "EQUALITY_DELETES PARQUET"]
TIMES = pa.timestamp("us")


def plain(path: object, **keys: Any) -> list[dict[str, Any]]:
    rows = [{k: v for k, v in row.items() if k != "row_hash"} for row in rows_of(config(path, **keys))]
    return sorted(rows, key=lambda row: row["image"])


def texts_of(path: object, **keys: Any) -> list[str]:
    return [row["text"] for row in plain(path, **keys)]


@pytest.fixture(autouse=True, params=["objects", "columns"])
def files_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few files are objects, and very many are columns: all else is the same."""
    monkeypatch.setattr("pipeline.tables.formats.logged.format.MANY_FILES", 10_000 if request.param == "objects" else 1)
    monkeypatch.setattr(Manifest, "session", lambda _: nullcontext())
    monkeypatch.setattr(Manifest, "read", lambda *_: None)
    monkeypatch.setattr(Manifest, "write", lambda *_: None)
    return str(request.param)


@pytest.fixture
def catalog(tmp_path: Path) -> SqlCatalog:
    catalog = SqlCatalog("mine", uri=f"sqlite:///{tmp_path}/c.db", warehouse=f"file://{tmp_path}/w")
    catalog.create_namespace("n")
    return catalog


def create(catalog: SqlCatalog, rows: pa.Table, name: str = "n.t") -> Table:
    table = catalog.create_table(name, schema=rows.schema)
    table.append(rows)
    return table


def test_a_snapshot_of_very_many_files_is_read_in_a_process_of_its_own(
    catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read, and what is refused, is the same; a process that is killed is named."""
    table = create(catalog, some(0, 1, 2))
    table.append(some(3))
    table.delete("text == '1'")  # rewrites a file: its manifest has entries that are gone
    table.append(some(4))
    where = table.metadata_location
    here = open_table(config(where))
    assert len(here.files) == 3
    monkeypatch.setattr(iceberg_snapshot, "LARGE", 1)
    monkeypatch.setattr(iceberg_snapshot, "_read", lambda *_: pytest.fail("read in this process"))
    there = open_table(config(where))
    assert [*there.files] == [*here.files]
    assert (there.schema, there.version, there.fingerprint) == (here.schema, here.version, here.fingerprint)
    assert refusal(where, version="other").startswith("input.version: 'other' is no snapshot, branch or tag")
    monkeypatch.setattr(apart, "CHILD", "import os; os.kill(os.getpid(), 9)")
    assert refusal(where).endswith("the process that reads its log ended with code -9, perhaps for want of memory")


def test_snapshots(catalog: SqlCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = create(catalog, some(0, 1, 2))
    first = table.current_snapshot()
    assert first
    table.manage_snapshots().create_tag(first.snapshot_id, "begin").commit()
    table.delete("text == '1'")
    table.append(some(3))
    where = table.metadata_location
    assert texts_of(where) == ["0", "2", "3"]
    assert texts_of(where, version=first.snapshot_id) == texts_of(where, version="begin") == ["0", "1", "2"]
    assert open_table(config(where, version="begin")).version == f"snapshot {first.snapshot_id}"
    time = datetime.fromtimestamp(first.timestamp_ms / 1000, timezone.utc)
    assert texts_of(where, timestamp=time.isoformat()) == ["0", "1", "2"]
    assert "is before the first snapshot" in refusal(where, timestamp=(time - timedelta(seconds=1)).isoformat())
    assert "input.version: 5 is no snapshot, branch or tag" in refusal(where, version=5)
    monkeypatch.setenv("PYICEBERG_CATALOG__MINE__URI", f"sqlite:///{tmp_path}/c.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__MINE__TYPE", "sql")
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # which it reads when it is imported
    assert texts_of("iceberg://mine/n.t") == ["0", "2", "3"]
    assert "cannot read the Iceberg table 'iceberg://mine/n.gone'" in refusal("iceberg://mine/n.gone")
    assert "write iceberg://catalog/namespace.table" in refusal("iceberg://mine")


def test_the_folder_of_a_table(catalog: SqlCatalog, tmp_path: Path) -> None:
    table = create(catalog, some(0))
    folder = tmp_path / "w" / "n" / "t"
    line = refusal(folder)
    assert "is an Iceberg table with 2 current metadata files, the last by name '00001-" in line
    assert "its catalog knows which one counts: name iceberg://catalog/namespace.table" in line
    last = Path(table.metadata_location.removeprefix("file://"))
    last.rename(last.with_name("v2.metadata.json"))
    (folder / "metadata" / "version-hint.text").write_text("2")
    assert texts_of(folder) == ["0"]
    assert "is within" in refusal(folder / "data")


def test_columns_are_matched_by_ids(catalog: SqlCatalog) -> None:
    struct = pa.array([{"a": 1, "b": "x"}], pa.struct([("a", pa.int64()), ("b", pa.string())]))
    table = create(catalog, some(0, old=[7], s=struct, swap=["left"]))
    with table.update_schema() as update:
        update.rename_column("old", "new").rename_column("s.b", "c").rename_column("swap", "other")
        update.add_column("added", LongType())
    with table.update_schema() as update:
        update.add_column("old", LongType()).add_column("swap", StringType()).delete_column("new")
    table = catalog.load_table("n.t")
    rows = plain(table.metadata_location)
    assert rows == [
        {
            "image": "0.png",
            "text": "0",
            "s": {"a": 1, "c": "x"},
            "other": "left",
            "added": None,
            "old": None,
            "swap": None,
        }
    ]
    assert plain(table.metadata_location, filter="old = 7", columns=["text"]) == []
    assert plain(table.metadata_location, filter="swap IS NULL AND other = 'left'", columns=[])[0]["text"] == "0"
    first = table.snapshots()[0].snapshot_id
    assert plain(table.metadata_location, version=first)[0]["swap"] == "left"


def test_partitions(catalog: SqlCatalog) -> None:
    rows = some(0, 1, 2, k=["x=y", "a b", None], d=pa.array([1, 2, 3], TIMES))
    table = catalog.create_table("n.t", schema=rows.schema)
    with table.update_spec() as update:
        update.add_identity("k")
        update.add_field("d", "day", "d_day")
        update.add_field("text", "bucket[4]", "b")
    table.append(rows)
    assert plain(table.metadata_location) == rows.to_pylist()
    assert texts_of(table.metadata_location, filter="k = 'x=y'") == ["0"]
    for file in Path(table.location().removeprefix("file://")).rglob("*.parquet"):  # as Hive leaves them behind
        stored = pq.read_table(file, partitioning=None)
        pq.write_table(stored.drop_columns(["k"]), file)
    assert plain(table.metadata_location) == [
        {name: row[name] for name in ("image", "text", "k", "d")} for row in rows.to_pylist()
    ]


def test_files_without_ids(catalog: SqlCatalog, tmp_path: Path) -> None:
    table = catalog.create_table("n.t", schema=some(0).schema)
    pq.write_table(some(5), tmp_path / "w" / "n" / "t" / "plain.parquet")
    table.add_files([f"file://{tmp_path}/w/n/t/plain.parquet"])
    assert texts_of(table.metadata_location) == ["5"], "by the name mapping that add_files writes"
    with table.transaction() as change:
        change.remove_properties("schema.name-mapping.default")
    assert "has no ids of fields, by which its columns are matched" in refusal(table.metadata_location)


def test_files_elsewhere(catalog: SqlCatalog, tmp_path: Path) -> None:
    table = catalog.create_table("n.t", schema=some(0).schema)
    (tmp_path / "other").mkdir()
    pq.write_table(some(5), tmp_path / "other" / "plain.parquet")
    table.add_files([f"file://{tmp_path}/other/plain.parquet"])
    assert "which is not below its location" in refusal(table.metadata_location)
    assert texts_of(table.metadata_location, allow=[str(tmp_path / "other")]) == ["5"]


@pytest.mark.parametrize("kind_and_form", KINDS)
def test_deletes(kind_and_form: str, catalog: SqlCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiceberg writes no delete files: the one here is of our making, and the plan of the scan is given it."""
    content, form = kind_and_form.split()
    table = create(catalog, some(0, 1, 2, 3))
    [task] = table.scan().plan_files()
    before = {row["text"]: row["row_hash"] for row in rows_of(config(table.metadata_location))}
    deletes = pa.table({"file_path": [task.file.file_path, "another", task.file.file_path], "pos": [2, 0, 1]})
    pq.write_table(deletes, tmp_path / "w" / "n" / "t" / "deletes.parquet")
    kind = DataFileContent[content]
    file = DataFile.from_args(
        content=kind, file_path=f"file://{tmp_path}/w/n/t/deletes.parquet", file_format=FileFormat[form]
    )
    monkeypatch.setattr(DataScan, "plan_files", lambda _: [FileScanTask(task.file, {file})])
    if (content, form) != ("POSITION_DELETES", "PARQUET"):
        named = content.lower().replace("_", " ")
        assert f"holds {named} in {form}; of Iceberg tables positional deletes" in refusal(table.metadata_location)
        return
    after = {row["text"]: row["row_hash"] for row in rows_of(config(table.metadata_location))}
    assert after == {text: before[text] for text in ("0", "3")}, "rows keep their ids"


def test_on_s3(s3_server: str, tmp_path: Path, files_as: str) -> None:
    s3fs.S3FileSystem().mkdir(f"tables-iceberg-{files_as}")
    settings = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO", "s3.endpoint": s3_server}
    settings["warehouse"] = f"s3://tables-iceberg-{files_as}/w"
    catalog = SqlCatalog("t", uri=f"sqlite:///{tmp_path}/c.db", **settings)
    catalog.create_namespace("n")
    table = create(catalog, some(0, 1))
    assert texts_of(table.metadata_location) == ["0", "1"]
    assert open_table(config(table.metadata_location)).base == f"s3://tables-iceberg-{files_as}/w/n/t"


def rewritten(table: Table, change: Any) -> str:
    """Return a copy of a table's metadata file, beside it, as `change` makes it."""
    path = Path(table.metadata_location.removeprefix("file://"))
    values = json.loads(path.read_text())
    change(values)
    copy = path.with_name(f"x{path.name}")
    copy.write_text(json.dumps(values))
    return str(copy)


def test_properties_of_a_table_call_nothing(
    catalog: SqlCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """pyiceberg calls the class that `py-io-impl` names, with the credentials of the config."""
    table = create(catalog, some(0))
    path = Path(table.metadata_location.removeprefix("file://"))
    values = json.loads(path.read_text())
    values["properties"] = {"py-io-impl": "builtins.print", "s3.endpoint": "http://127.0.0.1:9"}
    path.write_text(json.dumps(values))
    assert texts_of(table.metadata_location) == ["0"]
    monkeypatch.setattr(Config, "get_catalog_config", lambda *_: {"type": "sql", "uri": f"sqlite:///{tmp_path}/c.db"})
    assert texts_of("iceberg://mine/n.t") == ["0"]
    assert "py-io-impl" not in capfd.readouterr().out


def test_metadata_leads_nowhere_else(catalog: SqlCatalog, tmp_path: Path) -> None:
    table = create(catalog, some(0, 1))
    table.delete("text == '1'")
    (tmp_path / "private").mkdir()
    secret = f"file://{tmp_path}/private/snap.avro"

    def moved(values: dict[str, Any]) -> None:
        values["location"] = f"file://{tmp_path}/private"

    def listed(values: dict[str, Any]) -> None:
        for snapshot in values["snapshots"]:
            snapshot["manifest-list"] = secret

    def climbing(values: dict[str, Any]) -> None:
        for snapshot in values["snapshots"]:
            snapshot["manifest-list"] = f"{values['location']}/../../private/snap.avro"

    def server(values: dict[str, Any]) -> None:
        for snapshot in values["snapshots"]:
            snapshot["manifest-list"] = "http://127.0.0.1:9/snap.avro"

    assert "says that it is at" in refusal(rewritten(table, moved))
    for change in (listed, climbing, server):
        assert "which is not below its folder; list the folder in input.allow" in refusal(rewritten(table, change))
    assert "private" in refusal(rewritten(table, listed), allow=[f"file://{tmp_path}/private/"])  # now it is not there


def test_metadata_that_unpacks_to_far_more(catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    table = create(catalog, some(0))
    assert texts_of(table.metadata_location) == ["0"]
    bombs = [gzip.compress(b" " * 2**20), avro("bzip2", bz2.compress(bytes(2**20)))]
    bombs.append(avro("deflate", zlib.compress(bytes(2**20))[2:-4]))
    packed = pa.Codec("zstd").compress(bytes(2**20), asbytes=True)
    for data in (*bombs, avro("zstandard", packed), avro("snappy", b"\xff\xff\xff\x7f" + b"x" * 20)):
        assert max(metadata_files._sizes(data, 2**16)) > 2**16
        assert max(metadata_files._sizes(data, 2**40)) >= 2**20
    assert list(metadata_files._sizes(avro("null", b"x" * 100), 2**16)) == [100]
    monkeypatch.setattr(metadata_files, "MOST_UNPACKED", 10)
    monkeypatch.setattr(metadata_files, "MOST_RATIO", 0)
    assert "unpacks to more than 10: not read" in refusal(table.metadata_location)


def avro(codec: str, block: bytes) -> bytes:
    """Return an Avro file of one block."""

    def sized(data: bytes) -> bytes:
        return varint(len(data) << 1) + data

    header = b"Obj\x01" + varint(1 << 1) + sized(b"avro.codec") + sized(codec.encode()) + b"\0"
    return header + b"s" * 16 + varint(1 << 1) + sized(block) + b"s" * 16
