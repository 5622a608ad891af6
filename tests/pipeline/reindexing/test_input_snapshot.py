"""Which files are new, and which are gone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile, diff
from pipeline.results.row_source import FileVersion
from pipeline.tables.file_columns import ListedFiles
from pipeline.tables.input_file import InputFile

FILES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]))
COLUMNS = pa.schema([("caption", pa.string()), ("none", pa.null())])


@given(before=FILES, now=FILES)
def test_new_changed_and_gone(before: dict[str, str], now: dict[str, str]) -> None:
    snapshot = InputSnapshot({name: SnapshotFile(f"{version} 10", 1, COLUMNS) for name, version in before.items()})
    found = [InputFile(f"in/{name}", name, 10, version) for name, version in now.items()]
    changes = diff(snapshot, found)
    columns = ListedFiles.of("in", [f"in/{name}" for name in now], [10] * len(now), [*now.values()])
    with tempfile.TemporaryDirectory() as folder:
        snapshot.write(LocalFileSystem(), f"{folder}/s.parquet")
        of_many = diff(InputSnapshot.read(LocalFileSystem(), f"{folder}/s.parquet"), columns)
    assert of_many == changes, "with an object for each file, or as columns"
    assert len(of_many.unchanged.files) == len(changes.unchanged.files)
    assert of_many.unchanged.rows == changes.unchanged.rows
    assert {file.name for file in changes.new} == now.keys() - before.keys()
    assert {file.name for file in changes.changed} == {n for n in now.keys() & before.keys() if now[n] != before[n]}
    assert changes.outdated == {FileVersion(n, f"{v} 10") for n, v in before.items() if now.get(n) != v}
    assert {version.name for version in changes.gone} == before.keys() - now.keys()
    assert changes.unchanged.files.keys() == {n for n in now if before.get(n) == now[n]}
    assert bool(changes) == (before != now)
    after = InputSnapshot({file.name: SnapshotFile(file.version, 1, COLUMNS) for file in found})
    assert not diff(after, found)
    assert str(diff(after, found)) == "0 new, 0 changed, 0 gone"


def test_on_a_storage(tmp_path: Path) -> None:
    other = pa.schema([("meta", pa.struct([("width", pa.int32())]))])
    some = InputSnapshot({"a/ü.parquet": SnapshotFile("x 1", 3, COLUMNS), "b": SnapshotFile("y 2", 4, other)})
    for snapshot in (some, InputSnapshot.empty()):
        snapshot.write(LocalFileSystem(), str(tmp_path / "e.parquet"))
        assert InputSnapshot.read(LocalFileSystem(), str(tmp_path / "e.parquet")) == snapshot
    assert (some.rows, snapshot.rows) == (7, 0)
