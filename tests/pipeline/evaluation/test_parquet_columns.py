"""Columns of Parquet results: of one file, of a folder, of what is none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation import parquet_columns
from pipeline.evaluation.parquet_columns import read_columns


def read(path: Path) -> list[tuple[int, str | None]]:
    tables = read_columns(str(path), "vqa.results", ["n"], StorageConfig(), ["error"])
    return [(row["n"], row["error"]) for table in tables for row in table.to_pylist()]


def put(path: Path, *numbers: int, **columns: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, "n": numbers}), path)


def test_files_in_order_and_columns_that_may_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", 2)
    put(tmp_path / "b.parquet", 4, 5, error=["x", "y"])
    put(tmp_path / "a.parquet", 1, 2, 3)
    put(tmp_path / "deep" / "c.parquet", 6)
    for hidden in ("_progress/d.parquet", ".e.parquet", "deep/_f/g.parquet"):
        put(tmp_path / hidden, 99)
    (tmp_path / "_summary.json").write_text("{}")
    assert read(tmp_path) == [(1, None), (2, None), (3, None), (4, "x"), (5, "y"), (6, None)]
    assert read(tmp_path / "b.parquet") == [(4, "x"), (5, "y")]


def test_a_folder_whose_own_name_is_hidden(tmp_path: Path) -> None:
    put(tmp_path / "_results" / "a.parquet", 1)
    assert read(tmp_path / "_results") == [(1, None)]


@pytest.mark.parametrize("end", ["", "/"])
def test_what_cannot_be_read(tmp_path: Path, end: str) -> None:
    with pytest.raises(ConfigError, match=r"^vqa\.results: cannot read '.*': .*: no \.parquet files there$"):
        list(read_columns(f"{tmp_path}{end}", "vqa.results", ["n"], StorageConfig()))
    (tmp_path / "a.parquet").write_bytes(b"x" * 20)
    with pytest.raises(ConfigError, match=r"^vqa\.results: '.*' holds what is not Parquet: "):
        list(read_columns(f"{tmp_path}{end}", "vqa.results", ["n"], StorageConfig()))
    pq.write_table(pa.table({"m": [1], "k": [2]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError) as caught:
        list(read_columns(f"{tmp_path}{end}", "vqa.results", ["m", "n"], StorageConfig()))
    assert str(caught.value) == (
        f"vqa.results: {str(tmp_path / 'a.parquet')!r} has another layout: expected the columns m, n, found m, k, "
        "without 'n'"
    )
