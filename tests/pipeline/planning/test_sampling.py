"""Rows of a sample: seeded, from all over the table, read as the job reads them."""

from collections import Counter
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pipeline import JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.planning.sampling import SPLITS, draw_sample
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table


def sampled(path: str, count: int, seed: int = 0, **inputs: Any) -> list[int]:
    """The column `n` of a sample."""
    values = {"input": {"path": path, **inputs}, "model": "zoo://scenes", "output": {"path": "out"}}
    config = JobConfig.parse("score", values)
    table = open_table(config)
    sample = draw_sample(table, count, seed)
    assert sample.rows_read >= len(sample.rows)
    assert not len(RowSet.union([sample.others]).minus(sample.others))
    parts = [part for unread in table.unread(sample.others) for part in unread.read(read_plan(table, 100))]
    rows = [int(n) for part in parts for n in part["n"].to_pylist()]
    assert len(rows) == len(sample.rows), "all pass the filter"
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """5,000 rows in three files, the second of one row group, the others of many."""
    (tmp_path / "t").mkdir()
    for i, (first, last, group) in enumerate([(0, 2000, 100), (2000, 3000, 1000), (3000, 5000, 50)]):
        n = list(range(first, last))
        table = pa.table({"n": n, "image": ["x"] * len(n), "text": ["a"] * len(n)})
        pq.write_table(table, tmp_path / "t" / f"{i}.parquet", row_group_size=group)
    return str(tmp_path / "t")


def test_rows_are_drawn_once_in_order_and_by_the_seed(folder: str) -> None:
    rows = sampled(folder, 320)
    assert len(rows) == len(set(rows)) == 320
    assert rows == sorted(rows) == sampled(folder, 320)
    assert rows != sampled(folder, 320, seed=1)
    assert len({n // 50 for n in rows}) > SPLITS / 2, "from all over the table"


def test_every_row_is_about_as_likely(tmp_path: Path) -> None:
    """Of files of different sizes, with row groups of different sizes."""
    sizes = [5, 10, 40, 20, 25]
    for i, size in enumerate(sizes):
        table = pa.table({"n": [i] * size, "image": ["x"] * size, "text": ["a"] * size})
        pq.write_table(table, tmp_path / f"{i}.parquet")
    counts = Counter(n for seed in range(100) for n in sampled(str(tmp_path), 20, seed))
    for i, size in enumerate(sizes):
        assert counts[i] / 2000 == pytest.approx(size / 100, abs=0.04)


def test_a_small_table_is_taken_whole(folder: str) -> None:
    assert sampled(f"{folder}/1.parquet", 10_000) == list(range(2000, 3000))


def test_only_rows_that_pass_the_filter(folder: str) -> None:
    rows = sampled(folder, 100, filter="n >= 1950 and n < 2080")
    assert len(rows) == 100
    assert min(rows) >= 1950
    assert max(rows) < 2080


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,image,text\n" + "".join(f"{i},x,a\n" for i in range(300)))
    rows = sampled(str(tmp_path / "a.csv"), 50)
    assert len(set(rows)) == 50
    assert rows == sorted(rows)


def numbered(count: int) -> pa.Table:
    return pa.table({"n": range(count), "image": ["x"] * count, "text": ["a"] * count})


def test_samples_of_a_lance_dataset_leave_out_what_was_deleted_and_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tables.formats.lance.format.SPLIT_ROWS", 100)
    path = str(tmp_path / "t.lance")
    lance.write_dataset(numbered(1000), path, max_rows_per_file=400)
    lance.dataset(path).delete("n % 3 = 0")
    rows = sampled(path, 90)
    assert len(rows) == len(set(rows)) == 90
    assert all(n % 3 for n in rows)
    assert rows == sorted(rows) == sampled(path, 90)
    left = sampled(path, 1000, filter="n BETWEEN 50 AND 450")
    assert left == [n for n in range(50, 451) if n % 3]


def test_samples_of_an_iceberg_table(tmp_path: Path) -> None:
    catalog = SqlCatalog("mine", uri=f"sqlite:///{tmp_path}/c.db", warehouse=f"file://{tmp_path}/w")
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=numbered(1).schema)
    table.append(numbered(400))
    table.append(numbered(300))
    table.delete("n >= 350")
    rows = sampled(table.metadata_location, 60)
    assert len(rows) == 60
    assert max(rows) < 350
    assert sorted(sampled(table.metadata_location, 1000, filter="n > 290")) == sorted(
        [*range(291, 350), *range(291, 300)]
    )
