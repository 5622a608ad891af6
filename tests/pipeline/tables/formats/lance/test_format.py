"""Lance datasets as input, as pylance writes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline.common.row_ranges import row_key
from pipeline.tables.lookup import read_rows
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import config, refusal, rows_of, some, texts_of


def test_versions(tmp_path: Path) -> None:
    path = str(tmp_path / "t.lance")
    lance.write_dataset(some(0, 1), path)
    lance.write_dataset(some(2), path, mode="append")
    data = lance.write_dataset(some(3), path, mode="overwrite")
    data.tags.create("good", 1)
    assert texts_of(path) == ["3"]
    assert texts_of(path, version=2) == ["0", "1", "2"]
    assert texts_of(path, version="good") == ["0", "1"]
    assert open_table(config(path, version="good")).version == "version 1"
    first = datetime.fromtimestamp(data.versions()[0]["timestamp"].timestamp(), timezone.utc)
    assert texts_of(path, timestamp=first.isoformat()) == ["0", "1"]
    assert "is before the first version" in refusal(path, timestamp=(first - timedelta(seconds=1)).isoformat())
    assert "cannot read the Lance dataset" in refusal(path, version=9)
    assert "input.filter: the table has no column 'txt'" in refusal(path, filter="txt = '1'")
    assert "is within" in refusal(f"{path}/data")


def test_deleted_rows_leave_the_ids_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.formats.lance.format.SPLIT_ROWS", 7)
    path = str(tmp_path / "t.lance")
    lance.write_dataset(some(*range(30)), path, max_rows_per_file=20)
    before = {row["text"]: row["row_hash"] for row in rows_of(config(path))}
    old = open_table(config(path))
    assert [len(opened.splits) for opened in old.files] == [3, 2]
    gone = [0, 3, 4, *range(7, 15), 19, 29]
    lance.dataset(path).delete(f"text IN ({', '.join(repr(str(n)) for n in gone)})")
    after = {row["text"]: row["row_hash"] for row in rows_of(config(path))}
    assert after == {text: hashed for text, hashed in before.items() if int(text) not in gone}
    now = open_table(config(path))
    assert (now.rows, now.fingerprint != old.fingerprint) == (17, True)
    assert read_rows(now, [row_key(0, 18), row_key(1, 0)], ["text"]) == {
        row_key(0, 18): {"text": "18"},
        row_key(1, 0): {"text": "20"},
    }


def test_columns_that_changed(tmp_path: Path) -> None:
    path = str(tmp_path / "t.lance")
    data = lance.write_dataset(some(0, 1, n=[1, 2]), path)
    data.add_columns({"m": "n * 2"})
    data.alter_columns({"path": "n", "name": "renamed"})
    rows = rows_of(config(path))
    assert [(row["renamed"], row["m"]) for row in rows] == [(1, 2), (2, 4)]
    lance.write_dataset(some(2, renamed=[3]), path, mode="append")
    assert [row["m"] for row in rows_of(config(path))] == [2, 4, None]


def test_blobs_are_refused(tmp_path: Path) -> None:
    blob = pa.field("blob", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    schema = pa.schema([("image", pa.string()), ("text", pa.string()), blob])
    lance.write_dataset(pa.table([["a"], ["b"], [b"x"]], schema), str(tmp_path / "t"), data_storage_version="2.0")
    assert "column 'blob' cannot be read: it is a column of blobs" in refusal(tmp_path / "t")
    assert texts_of(tmp_path / "t", columns=["text"]) == ["b"]


def test_shallow_clones_are_refused(tmp_path: Path) -> None:
    data = lance.write_dataset(some(0), str(tmp_path / "t"))
    data.shallow_clone(str(tmp_path / "clone"), 1)
    assert "has fragments of another dataset: shallow clones are not read" in refusal(tmp_path / "clone")


def test_on_s3(s3_server: str) -> None:
    s3fs.S3FileSystem().mkdir("tables-lance")
    options = {"aws_endpoint": s3_server, "allow_http": "true"}
    lance.write_dataset(some(0, 1), "s3://tables-lance/t", storage_options=options)
    assert texts_of("s3://tables-lance/t") == ["0", "1"]


@pytest.mark.parametrize("condition", ["n > 4 AND source = 'a'", "n IS NULL", "n > 99", "source LIKE 'b%' OR n = 3"])
def test_a_filter_takes_the_same_rows_as_from_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    monkeypatch.setattr("pipeline.tables.formats.lance.format.SPLIT_ROWS", 7)
    numbers = [None if i % 5 == 4 else i for i in range(30)]
    rows = some(*range(30), n=pa.array(numbers, pa.int32()), source=["ab"[i % 2] for i in range(30)])
    path = str(tmp_path / "t.lance")
    lance.write_dataset(rows, path, max_rows_per_file=20)
    lance.dataset(path).delete("text IN ('3', '4', '6', '7', '8', '21', '29')")
    pq.write_table(lance.dataset(path).to_table(), tmp_path / "t.parquet")
    keys = {"filter": condition}
    assert texts_of(path, **keys) == texts_of(tmp_path / "t.parquet", **keys)
    assert rows_of(config(path, **keys, id="text")) == rows_of(config(tmp_path / "t.parquet", **keys, id="text"))
    every = {row["text"]: row["row_hash"] for row in rows_of(config(path))}
    assert all(every[row["text"]] == row["row_hash"] for row in rows_of(config(path, **keys))), "ids stay the same"


def test_images_of_rows_that_are_left_out_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "t.lance")
    lance.write_dataset(some(*range(30), n=range(30)), path)
    taken, take = list[int](), lance.LanceFragment.take

    def noted(self: lance.LanceFragment, indices: np.ndarray, **options: Any) -> pa.Table:
        taken.extend(indices.tolist())
        return take(self, indices, **options)

    monkeypatch.setattr(lance.LanceFragment, "take", noted)
    assert texts_of(path, filter="n BETWEEN 5 AND 7") == ["5", "6", "7"]
    assert taken == [5, 6, 7]
    table = open_table(config(path, filter="n BETWEEN 5 AND 7"))
    assert read_rows(table, [row_key(0, 6)], ["text"]) == {row_key(0, 6): {"text": "6"}}
    assert "input.filter: " in refusal(path, filter="n > 'a'")


def test_a_manifest_that_makes_the_library_panic(tmp_path: Path) -> None:
    """Panics are no `Exception`: they would end the process with a traceback."""
    lance.write_dataset(pa.table({"text": ["a"]}), tmp_path / "t.lance")
    path = next((tmp_path / "t.lance" / "_versions").glob("*.manifest"))
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[-16:-8], "little")
    data[at : at + 4] = (2**30).to_bytes(4, "little")
    path.write_bytes(data)
    assert "is damaged: range end index" in refusal(tmp_path / "t.lance")
