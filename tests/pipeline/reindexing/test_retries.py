"""How often rows were tried again."""

from __future__ import annotations

from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from pipeline.reindexing.retries import FailedRows, InputRow
from pipeline.results.row_source import FileVersion

A, B = FileVersion("a", "1"), FileVersion("b", "1")


def test_counts() -> None:
    rows = FailedRows({InputRow(A, 0): 0, InputRow(A, 1): 1, InputRow(B, 0): 2})
    tried = set(rows.within({A}, 2))
    assert tried == {InputRow(A, 0), InputRow(A, 1)}
    after = rows.updated(tried, [InputRow(A, 1), InputRow(B, 7)])
    assert after.tries == {InputRow(A, 1): 2, InputRow(B, 0): 2, InputRow(B, 7): 0}
    assert after.files == {A, B}
    assert len(after.within({A, B}, 2)) == 1
    assert len(after.within({A, B})) == 3


def test_on_a_storage(tmp_path: Path) -> None:
    for rows in (FailedRows({InputRow(FileVersion("ü/a b", "x 1"), 2**40): 3}), FailedRows.none()):
        rows.write(LocalFileSystem(), str(tmp_path / "f.parquet"))
        assert FailedRows.read(LocalFileSystem(), str(tmp_path / "f.parquet")) == rows
