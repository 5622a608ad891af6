"""The kept rows of a file are copied as it stores them; the others are listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config.filter import KeepConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering import copying
from pipeline.filtering.copying import CopiedFile, copy_file
from pipeline.filtering.selection import Selection
from pipeline.results.reader import open_results
from pipeline.tables.table import open_files, read_columns, with_row_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table").mkdir()
    (tmp_path / "scores").mkdir()
    return tmp_path


def copy(folder: Path, kept: set[int], number: int = 0) -> CopiedFile:
    """Copy the rows of file `number` whose id `n` is in `kept`."""
    table = open_files(InputConfig(path=str(folder / "table"), id="n"), StorageConfig())
    rows = [with_row_id(window, "n") for window in read_columns(table, ["n"], 100)]
    ids = [i for window in rows for i in window["row_id"].to_pylist()]
    scores = pa.array([1.0 if i in kept else 0.0 for i in ids], pa.float32())
    results = pa.table({"row_id": pa.array(ids, pa.int64()), "score": scores, "error": pa.nulls(len(ids), pa.string())})
    pq.write_table(results, folder / "scores" / "part-0.parquet")
    with Selection() as selection:
        selection.add_rows(rows)
        selection.decide(
            KeepConfig.checked({"min_score": 0.5}), open_results(str(folder / "scores"), "scores", StorageConfig())
        )
        return copy_file(table, number, selection, LocalFileSystem(), str(folder / "out"))


def table_of(rows: int) -> pa.Table:
    field = pa.field("n", pa.int32(), metadata={"unit": "none"})
    return pa.table({"n": pa.array(range(rows), pa.int32()), "t": [f"é{i}" for i in range(rows)]}).cast(
        pa.schema([field, ("t", pa.string())], {"made": "by hand"})
    )


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 12), group=st.integers(1, 5), data=st.data())
def test_rows_are_kept_in_their_order(folder: Path, rows: int, group: int, data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.integers(0, rows - 1)))
    table = table_of(rows)
    pq.write_table(table, folder / "table" / "a.parquet", row_group_size=group, compression="gzip")
    found = copy(folder, kept)
    assert found == CopiedFile("kept/a.parquet", "dropped/a.parquet", len(kept), rows - len(kept))
    copied = pq.ParquetFile(folder / "out" / found.kept_name)
    assert copied.schema_arrow.equals(pq.read_schema(folder / "table" / "a.parquet"), check_metadata=True)
    assert copied.read()["n"].to_pylist() == sorted(kept)
    assert not kept or copied.metadata.row_group(0).column(0).compression == "GZIP"
    dropped = pq.read_table(folder / "out" / found.dropped_name)
    assert dropped["row_id"].to_pylist() == [i for i in range(rows) if i not in kept]
    assert set(dropped["reason"].to_pylist()) <= {"score below 0.5"}


def test_files_in_folders(folder: Path) -> None:
    for year, begin in ((2026, 0), (2027, 5)):
        (folder / "table" / f"year={year}").mkdir()
        part = table_of(10).slice(begin, 5)
        pq.write_table(part, folder / "table" / f"year={year}" / "a.parquet")
    found = copy(folder, {1, 7, 8}, number=1)
    assert found == CopiedFile("kept/year=2027/a.parquet", "dropped/year=2027/a.parquet", 2, 3)
    assert pq.ParquetFile(folder / "out" / found.kept_name).read()["n"].to_pylist() == [7, 8]


@pytest.mark.parametrize("window", [2, 2**20])
def test_other_formats_become_parquet(folder: Path, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(copying, "WINDOW_ROWS", window)
    pa.csv.write_csv(table_of(7), folder / "table" / "a.csv")
    found = copy(folder, {0, 3, 6})
    assert found == CopiedFile("kept/a.csv.parquet", "dropped/a.csv.parquet", 3, 4)
    assert pq.read_table(folder / "out" / found.kept_name).to_pylist() == [{"n": i, "t": f"é{i}"} for i in (0, 3, 6)]


def test_row_groups_without_a_kept_row_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table_of(9), folder / "table" / "a.parquet", row_group_size=3)
    read: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def iter_batches(self: Any, rows: int, row_groups: list[int], *columns: Any) -> Iterator[pa.RecordBatch]:
        read.extend([] if columns else row_groups)  # of all columns, to be copied
        return whole(self, rows, row_groups, *columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    assert copy(folder, {4}).kept == 1
    assert read == [1]
