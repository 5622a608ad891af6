"""Arrow files, and folders that `datasets.save_to_disk` wrote (see tests/foreign/files)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import s3fs

from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import config, refusal, rows_of, texts_of

FILES = Path(__file__).parents[4] / "foreign" / "files"


def write_stream(path: Path, table: pa.Table, rows: int = 100) -> None:
    with pa.ipc.new_stream(path, table.schema) as out:
        out.write_table(table, max_chunksize=rows)


def test_saved_datasets(tmp_path: Path) -> None:
    rows = rows_of(config(FILES / "datasets_saved"))
    assert [row["text"] for row in rows] == list("abcde")
    assert [row["label"] for row in rows] == [0, 1, 0, 1, 1]
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in rows)
    table = open_table(config(FILES / "datasets_saved"))
    assert [opened.name for opened in table.files] == [f"data-0000{n}-of-00002.arrow" for n in range(2)]
    shutil.copytree(FILES / "datasets_saved", tmp_path / "t")
    write_stream(tmp_path / "t" / "cache-1234.arrow", pa.table({"image": ["x"], "text": ["old"]}))
    assert texts_of(tmp_path / "t") == list("abcde"), "caches of map and filter are not the dataset"
    (tmp_path / "t" / "data-00001-of-00002.arrow").unlink()
    assert "lists a file that is not there" in refusal(tmp_path / "t")


def test_splits(tmp_path: Path) -> None:
    folder = FILES / "datasets_splits"
    assert f"is a DatasetDict; name one of its splits: {folder}/train or {folder}/test" in refusal(folder)
    assert texts_of(folder / "train") == ["e", "a", "b"]
    shutil.copytree(folder / "test", tmp_path / "t")
    state = json.loads((tmp_path / "t" / "state.json").read_text())
    (tmp_path / "t" / "state.json").write_text(json.dumps({**state, "_indices_data_files": [{"filename": "i.arrow"}]}))
    assert "has a list of indices, which older releases of datasets wrote" in refusal(tmp_path / "t")
    (tmp_path / "t" / "state.json").write_text(json.dumps({**state, "_data_files": []}))
    assert "lists no files; datasets.save_to_disk writes some" in refusal(tmp_path / "t")


def test_streams_and_files(tmp_path: Path) -> None:
    table = pa.table({"image": [str(n) for n in range(9)], "text": pa.array(list("abcdefghi"), pa.string_view())})
    write_stream(tmp_path / "a.arrow", table, rows=4)
    pa.feather.write_feather(
        table.cast(pa.schema([("image", pa.string()), ("text", pa.string())])), str(tmp_path / "b.feather")
    )
    assert texts_of(tmp_path) == list("abcdefghi") * 2
    assert "has no state.json that lists Arrow files" in refusal(tmp_path, format="datasets")
    whole = (tmp_path / "a.arrow").read_bytes()
    for end in (len(whole) - 8, len(whole) - 100, 50):
        (tmp_path / "a.arrow").write_bytes(whole[:end])
        assert "a.arrow' is damaged or no such table" in refusal(tmp_path)


def test_a_state_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"image": "a.png", "text": "a"}))
    assert texts_of(tmp_path) == ["a"]


def test_on_s3(s3_server: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("tables-arrow")
    s3.put(f"{FILES}/datasets_saved/", "tables-arrow/t/", recursive=True)
    assert texts_of("s3://tables-arrow/t") == list("abcde")


def test_a_filter_takes_the_same_rows_as_from_parquet(tmp_path: Path) -> None:
    assert texts_of(FILES / "datasets_saved", filter="label = 1") == ["b", "d", "e"]
    assert texts_of(FILES / "datasets_saved", filter="label > 1") == []
    table = pa.table({"image": ["x"] * 9, "text": list("abcdefghi"), "n": [1, None, 3, 4, None, 6, 7, 8, 9]})
    (tmp_path / "t").mkdir()
    write_stream(tmp_path / "t" / "a.arrow", table.slice(0, 6), 2)
    pa.feather.write_feather(table.slice(6), tmp_path / "t" / "b.feather")
    pq.write_table(table, tmp_path / "t.parquet")
    for condition in ("n > 3 AND text <> 'f'", "n IS NULL", "text IN ('a', 'i') OR n = 4"):
        assert texts_of(tmp_path / "t", filter=condition) == texts_of(tmp_path / "t.parquet", filter=condition)
    every = {row["text"]: row["row_hash"] for row in rows_of(config(tmp_path / "t"))}
    assert all(every[row["text"]] == row["row_hash"] for row in rows_of(config(tmp_path / "t", filter="n > 6")))
    opened = open_table(config(tmp_path / "t", filter="n > 6"))
    assert [[split.rows for split in file.splits] for file in opened.files] == [[0], [3]]
    assert "no column 'm'" in refusal(tmp_path / "t", filter="m > 6")
