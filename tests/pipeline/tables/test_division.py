"""Shards of a table: together all of it, no row twice, the same in every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.config.shard import Shard
from pipeline.tables.division import TablePart, balanced
from pipeline.tables.reading import read_columns
from pipeline.tables.table import InputTable, open_table


def open_shard(folder: Path, shard: str | None, **keys: Any) -> InputTable:
    spec = {"path": str(folder), "image": "image", "text": "text", "shard": shard, **keys}
    return open_table(JobConfig.parse("score", {"input": spec, "model": "zoo://scenes", "output": {"path": "/out"}}))


def write(folder: Path, rows: list[int], group: int = 10, suffix: str = "parquet") -> None:
    folder.mkdir()
    at = 0
    for number, count in enumerate(rows):
        columns = {"image": [b"x"] * count, "text": ["t"] * count, "n": list(range(at, at + count))}
        at += count
        if suffix == "parquet":
            pq.write_table(pa.table(columns), folder / f"{number:03d}.parquet", row_group_size=group)
        else:
            lines = [f'{{"image": "a.png", "text": "t", "n": {n}}}' for n in columns["n"]]
            (folder / f"{number:03d}.jsonl").write_text("\n".join(lines) + "\n")


def numbers(table: InputTable) -> list[int]:
    return [n for rows in read_columns(table, ["n"], 64) for n in rows["n"].to_pylist()]


@pytest.mark.parametrize(
    ("rows", "count", "unit", "suffix"),
    [
        ([30, 10, 50, 20, 40, 10, 10, 10], 2, "files", "parquet"),
        ([30, 10, 50, 20, 40, 10, 10, 10], 3, "rows", "parquet"),
        ([100], 7, "rows", "parquet"),
        ([10], 4, "rows", "parquet"),  # three shards have nothing
        ([20, 10, 30], 5, "files", "jsonl"),  # a file of lines is read as a whole
    ],
)
def test_every_row_is_one_shards(tmp_path: Path, rows: list[int], count: int, unit: str, suffix: str) -> None:
    write(tmp_path / "t", rows, suffix=suffix)
    whole = open_shard(tmp_path / "t", None)
    tables = [open_shard(tmp_path / "t", f"{index}/{count}") for index in range(count)]
    assert sorted(n for table in tables for n in numbers(table)) == list(range(sum(rows)))
    assert sum(table.rows for table in tables) == whole.rows
    assert {table.fingerprint for table in tables} == {whole.fingerprint}
    keys = [key for table in tables for read in read_columns(table, ["n"], 64) for key in read["__row_key"].to_pylist()]
    expected = [key for read in read_columns(whole, ["n"], 64) for key in read["__row_key"].to_pylist()]
    assert sorted(keys) == sorted(expected), "rows have the keys that they have in the whole table"
    parts = [table.part for table in tables]
    assert all(part is not None and part.unit == unit for part in parts)
    covered = RowSet.union(part.assigned for part in parts if part)
    assert len(covered) == sum(len(part.assigned) for part in parts if part) == (parts[0].total if parts[0] else -1)
    assert all(part and TablePart.from_json(part.to_json()) == part for part in parts)


def test_a_shard_of_files_opens_no_others(tmp_path: Path) -> None:
    write(tmp_path / "t", [10] * 8)
    mine = {file.name for file in open_shard(tmp_path / "t", "0/2").read_files}
    assert len(mine) == 4
    for file in (tmp_path / "t").iterdir():
        if file.name not in mine:
            file.write_bytes(b"x" * file.stat().st_size)
    assert len(numbers(open_shard(tmp_path / "t", "0/2"))) == 40
    assert {file.name for file in open_shard(tmp_path / "t", "0/2").read_files} == mine


def test_a_filter_holds_in_each_shard(tmp_path: Path) -> None:
    write(tmp_path / "t", [10] * 8)
    tables = [open_shard(tmp_path / "t", f"{index}/2", filter="n >= 35 AND n < 60") for index in range(2)]
    assert sorted(n for table in tables for n in numbers(table)) == list(range(35, 60))


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 9))
def test_shards_are_balanced(sizes: list[int], count: int) -> None:
    names = [f"{number:03d}" for number in range(len(sizes))]
    owners = balanced(sizes, names, count)
    loads = np.bincount(owners, np.array(sizes, float), count) if sizes else np.zeros(count)
    assert loads.max() - loads.min() <= max(sizes, default=0)
    again = balanced(sizes[::-1], names[::-1], count)[::-1]
    assert np.array_equal(owners, again), "the order of the listing does not matter"


def test_files_of_one_size_are_spread_evenly() -> None:
    owners = balanced([0] * 10, [str(n) for n in range(10)], 5)
    assert np.bincount(owners).tolist() == [2] * 5
    assert Shard(0, 5).folder == "shard-00000-of-00005"
