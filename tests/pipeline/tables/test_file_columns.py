"""A table of very many files, whose files are kept as columns, is the same table as one whose files are objects."""

from __future__ import annotations

import hashlib
import json
import pickle
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError, JobConfig
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.tables import file_columns
from pipeline.tables.datasource import TableSource
from pipeline.tables.file_columns import ListedFiles, OpenedFiles, json_hash
from pipeline.tables.formats.parquet import many_footers
from pipeline.tables.listing import find_many
from pipeline.tables.manifest import MANIFEST, Manifest
from pipeline.tables.reading import read_columns, read_plan
from pipeline.tables.table import InputTable, open_files, open_table

FOLDERS = 20


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in folders that name a column, of two widths of integers, one of them hidden, one empty."""
    folder = tmp_path_factory.mktemp("many") / "t"
    for number in range(2 * FOLDERS):
        kind = pa.int32() if number % 3 else pa.int64()
        rows = 0 if number == 7 else 1 + number % 5
        columns = {"image": [b"x"] * rows, "text": [f"t{number}"] * rows, "n": pa.array([number] * rows, kind)}
        path = folder / f"day={number // 2}" / f"{number:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=2)
    (folder / "day=0" / "_hidden.parquet").write_bytes(b"x")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "x.parquet").write_bytes(b"x")
    return folder


def job_config(folder: Path, out: Path, **keys: Any) -> JobConfig:
    values = {
        "input": {"path": str(folder), **keys},
        "model": "zoo://scenes",
        "output": {"path": str(out), "report": False},
    }
    return JobConfig.parse("score", values)


def opened(folder: Path, out: Path, **keys: Any) -> InputTable:
    return open_table(job_config(folder, out, **keys))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few files are very many, a task reads some of them, and it runs in this process if no Ray is there."""
    monkeypatch.setattr(find_many, "MANY_FILES", 10)
    monkeypatch.setattr(Manifest, "session", lambda _: nullcontext())
    monkeypatch.setattr(many_footers, "FILES_PER_TASK", 7)


def rows_of(table: InputTable) -> list[dict[str, Any]]:
    return [row for rows in read_columns(table, ["n", "day"], 64) for row in rows.to_pylist()]


def test_the_same_table(table: Path, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del many
    columns = opened(table, tmp_path)
    monkeypatch.setattr(find_many, "MANY_FILES", 1000)
    objects = opened(table, tmp_path)
    assert isinstance(columns.files, OpenedFiles)
    assert isinstance(objects.files, list)
    assert list(columns.files) == list(objects.files)
    assert [columns.files[number] for number in range(-1, 5)] == [objects.files[number] for number in range(-1, 5)]
    assert columns.schema == objects.schema
    assert (columns.rows, columns.fingerprint) == (objects.rows, objects.fingerprint)
    assert columns.metadata == objects.metadata
    assert rows_of(columns) == rows_of(objects)
    done = RowSet.union([RowSet.file(5, 1), RowSet.file(8, 4), RowSet.of(np.array([row_key(30)]))])
    some, same = columns.unread(done), objects.unread(done)
    assert list(some) == list(same)
    assert pickle.loads(pickle.dumps(some[3:9])) == same[3:9], "what travels to a read task"
    tasks, expected = (TableSource(one, read_plan(objects, 4), lambda window: window) for one in (some, same))
    assert [list(task) for task in tasks.tasks] == [list(task) for task in expected.tasks]
    assert tasks.estimate_inmemory_data_size() == expected.estimate_inmemory_data_size()
    assert len(tasks.get_read_tasks(1)) == len(expected.get_read_tasks(1))


def test_the_same_columns_cannot_be_read(tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the files with integers that the table's floats cannot hold is named."""
    del many
    for number in range(FOLDERS):
        (tmp_path / "t" / f"{number:03d}").mkdir(parents=True)
        values = [2**53 + number] if number in (3, 9) else [0.5]
        table = pa.table({"image": [b"x"], "text": ["t"], "n": values})
        pq.write_table(table, tmp_path / "t" / f"{number:03d}" / "a.parquet")
    columns = opened(tmp_path / "t", tmp_path / "out", columns=[])
    monkeypatch.setattr(find_many, "MANY_FILES", 1000)
    objects = opened(tmp_path / "t", tmp_path / "out", columns=[])
    assert isinstance(columns.files, OpenedFiles)
    assert isinstance(objects.files, list)
    assert columns.unreadable == objects.unreadable
    assert "003/a.parquet" in columns.unreadable["n"]


def test_a_manifest_spares_the_footers(
    table: Path, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del many
    first = opened(table, tmp_path)
    assert (tmp_path / MANIFEST).is_file()

    def never(*_: Any) -> None:
        raise AssertionError("a footer was read")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.tables.formats.parquet.many_footers.read_footer_columns", never)
        again = opened(table, tmp_path)
        assert list(again.files) == list(first.files)
        assert (again.schema, again.metadata, again.unreadable) == (first.schema, first.metadata, first.unreadable)
        (tmp_path / MANIFEST).write_bytes((tmp_path / MANIFEST).read_bytes()[:-9])
        with pytest.raises(AssertionError, match="a footer was read"):
            opened(table, tmp_path)
    assert list(opened(table, tmp_path).files) == list(first.files), "a damaged one is made again"


def test_a_manifest_is_of_one_listing(tmp_path: Path, many: None) -> None:
    del many
    for number in range(FOLDERS):
        (tmp_path / "t" / str(number)).mkdir(parents=True)
        pq.write_table(pa.table({"image": [b"x"], "text": ["t"]}), tmp_path / "t" / str(number) / "0.parquet")
    assert opened(tmp_path / "t", tmp_path / "out").rows == FOLDERS
    pq.write_table(pa.table({"image": [b"x"] * 3, "text": ["t"] * 3}), tmp_path / "t" / "4" / "0.parquet")
    assert opened(tmp_path / "t", tmp_path / "out").rows == FOLDERS + 2
    (tmp_path / "t" / "5" / "0.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ConfigError, match=r"5/0\.parquet' is not Parquet, or is cut off"):
        opened(tmp_path / "t", tmp_path / "out")


def test_other_tables_of_many_files_are_read_as_before(tmp_path: Path, many: None) -> None:
    del many
    for number in range(FOLDERS):
        (tmp_path / "t" / str(number)).mkdir(parents=True)
        (tmp_path / "t" / str(number) / "0.jsonl").write_text('{"image": "a.png", "text": "t"}\n')
    table = opened(tmp_path / "t", tmp_path / "out")
    assert (table.rows, len(table.files), isinstance(table.files, list)) == (FOLDERS, FOLDERS, True)
    pq.write_table(pa.table({"image": [b"x"], "text": ["t"]}), tmp_path / "t" / "3" / "1.parquet")
    with pytest.raises(ConfigError, match="holds files of several formats"):
        opened(tmp_path / "t", tmp_path / "out")


def test_the_same_rows_pass_a_filter(table: Path, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del many
    columns = opened(table, tmp_path, filter="n > 30 OR day = 2")
    monkeypatch.setattr(find_many, "MANY_FILES", 1000)
    objects = opened(table, tmp_path, filter="n > 30 OR day = 2")
    assert isinstance(columns.files, OpenedFiles)
    assert isinstance(objects.files, list)
    assert list(columns.files) == list(objects.files)
    assert 0 < columns.rows == objects.rows < opened(table, tmp_path).rows
    assert rows_of(columns) == rows_of(objects)


def test_another_job_over_the_table_takes_its_manifest(
    table: Path, tmp_path: Path, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts that are stored as bytes are bytes to a filter, and strings to a job that names them."""
    del many
    for number in range(FOLDERS):
        (tmp_path / "t" / str(number)).mkdir(parents=True)
        pq.write_table(pa.table({"image": [b"x"], "text": [b"t"]}), tmp_path / "t" / str(number) / "0.parquet")
    job = opened(tmp_path / "t", tmp_path / "scores")
    monkeypatch.setattr(many_footers, "read_footer_columns", None)
    manifest = Manifest(str(tmp_path / "kept"), job_config(table, tmp_path).storage, others=(str(tmp_path / "scores"),))
    spec = job_config(tmp_path / "t", tmp_path / "kept").input
    kept = open_files(spec, job_config(table, tmp_path).storage, manifest=manifest)
    assert (job.schema.field("text").type, kept.schema.field("text").type) == (pa.string(), pa.binary())
    assert list(kept.files) == list(job.files)


def test_a_filter_and_a_shard_of_many_files(table: Path, tmp_path: Path, many: None) -> None:
    del many
    whole = opened(table, tmp_path)
    assert {row["n"] for row in rows_of(opened(table, tmp_path, filter="n > 30"))} == set(range(31, 40))
    parts = [opened(table, tmp_path, shard=f"{index}/3") for index in range(3)]
    assert isinstance(parts[0].files, OpenedFiles)
    assert sorted(row["__row_key"] for part in parts for row in rows_of(part)) == [
        row["__row_key"] for row in rows_of(whole)
    ]
    assert {part.fingerprint for part in parts} == {whole.fingerprint}


def test_footers_are_read_in_tasks(table: Path, tmp_path: Path, many: None, ray_cluster: None) -> None:
    del many, ray_cluster
    rows = rows_of(opened(table, tmp_path / "a"))
    expected = [number for number in range(2 * FOLDERS) if number != 7 for _ in range(1 + number % 5)]
    assert sorted(row["n"] for row in rows) == expected
    assert all(row["day"] == row["n"] // 2 for row in rows)
    (tmp_path / "t").symlink_to(table)
    assert rows_of(opened(tmp_path / "t", tmp_path / "b")) == rows
    for number in range(FOLDERS):
        (tmp_path / "u" / str(number)).mkdir(parents=True)
        (tmp_path / "u" / str(number) / "0.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ConfigError, match=r"^input\.path: '.*0\.parquet' is not Parquet, or is cut off"):
        opened(tmp_path / "u", tmp_path / "c")


def test_a_slice_of_files_is_of_the_same_files() -> None:
    files = ListedFiles.of("b", [f"b/{number}" for number in range(9)], list(range(9)), ["e"] * 9)
    assert list(files[2:5]) == [files[2], files[3], files[4]]
    assert list(files[-2:]) == list(files)[-2:]
    assert files[-1].name == "8"


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_a_hash_of_parts_is_that_of_the_whole(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints of before stay, so that unfinished jobs are resumed."""
    monkeypatch.setattr(file_columns, "CHUNK", 3)
    values = [("näme", number, "etag") for number in range(count)]
    assert json_hash(values) == hashlib.sha256(json.dumps(values).encode()).hexdigest()


@given(st.lists(st.integers(0, 60)), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1))
def test_rows_of_many_ranges_are_counted(keys: list[int], ranges: list[tuple[int, int]]) -> None:
    rows = RowSet.of(np.array(keys, np.int64))
    begins, lengths = np.array(ranges, np.int64).T
    counts = rows.counts_between(begins, begins + lengths)
    assert counts.tolist() == [len(rows.between(begin, begin + length)) for begin, length in ranges]
