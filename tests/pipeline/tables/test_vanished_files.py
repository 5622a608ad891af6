"""A file that was listed and is not found is asked for again, and then named as vanished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.common.row_ranges import RowSet
from pipeline.tables.datasource import ReadPlan, UnreadSplit
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split
from pipeline.tables.table import open_table
from pipeline.tables.vanished_files import retry_missing
from tests.pipeline.tables.reading import ROWS, config, rows_of, write_parquet


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.vanished_files.PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr("pipeline.storage.filesystem.LONGEST_PAUSE", 0.0)


class Forgetful:
    """A store that does not find a file at first."""

    def __init__(self, times: int) -> None:
        self.times = times

    def open(self) -> str:
        if self.times:
            self.times -= 1
            raise FileNotFoundError("404")
        return "content"

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        del file, split, rows
        self.open()
        yield pa.table({"n": [1, 2]}, columns)


def test_opening() -> None:
    assert retry_missing(Forgetful(3).open, "a.parquet") == "content"
    with pytest.raises(FileNotFoundError, match=r"a\.parquet was listed, and is not there now: was the table"):
        retry_missing(Forgetful(4).open, "a.parquet")


def test_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    split = UnreadSplit(0, InputFile("/a", "a", 1, ""), Split(0, 2, 2, 1), RowSet.none())
    schema = pa.schema([("n", pa.int64())])
    assert [table["n"].to_pylist() for table in split.read(ReadPlan(Forgetful(3), schema, ["n"], None, 9))] == [[1, 2]]
    monkeypatch.setattr("pipeline.storage.filesystem.RETRY_SECONDS", 0.0)
    with pytest.raises(OSError, match=r"a: .*was listed, and is not there now: was the table changed"):
        list(split.read(ReadPlan(Forgetful(99), schema, ["n"], None, 9)))
    longer = UnreadSplit(0, split.file, Split(0, 3, 3, 1), RowSet.none())
    with pytest.raises(OSError, match=r"has 2 rows where 3 were counted: the table was changed"):
        list(longer.read(ReadPlan(Forgetful(0), schema, ["n"], None, 9)))


def test_a_file_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.storage.filesystem.RETRY_SECONDS", 0.0)
    write_parquet(tmp_path / "a.parquet", ROWS)
    job = config(tmp_path)
    assert len(rows_of(job)) == len(ROWS)
    table = open_table(job)
    (tmp_path / "a.parquet").unlink()
    [unread, *_] = table.unread(RowSet.none())
    with pytest.raises(OSError, match=r"a\.parquet: .*was listed, and is not there now"):
        list(unread.read(table.plan(["n"], 5)))
