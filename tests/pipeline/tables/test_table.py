"""The input table: what is wrong with it is said before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.tables.table import open_table

ROW = {"id": 1, "image": b"x", "uri": "a.png", "caption": "a", "texts": ["a"], "number": 1.5, "score": 2.0}


def config(path: str, **keys: Any) -> JobConfig:
    values = {"input": {"path": path, "text": "caption", **keys}, "model": "m", "output": {"path": "out"}}
    return JobConfig.parse("answer", values)


def test_a_folder_of_files(write_table: Callable[..., str]) -> None:
    path = write_table([ROW] * 10, files=3)
    (Path(path) / "_hidden.parquet").write_bytes(b"not a table")
    (Path(path) / "notes.txt").write_text("not a table")
    table = open_table(config(path, id="id"))
    assert len(table.files) == 3
    assert table.rows == 10
    assert table.base == path
    assert not table.columns.text_is_list
    glob = open_table(config(f"{path}/00[01].parquet", id="id"))
    assert (len(glob.files), glob.rows, glob.base) == (2, 8, path)


def test_kinds_of_columns(write_table: Callable[..., str]) -> None:
    path = write_table([ROW])
    assert open_table(config(path, image="uri")).rows == 1
    assert open_table(config(path, text="texts")).columns.text_is_list
    assert open_table(config(path, columns=["number"], id="id")).columns.names == ["id", "image", "caption", "number"]
    struct = write_table([{"image": {"bytes": b"x", "path": None}, "caption": "a"}], name="struct")
    assert open_table(config(struct)).rows == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"image": "imag"}, "input.image: the table has no column 'imag'; did you mean 'image'? it has id, image, uri"),
        ({"text": "title"}, "input.text: the table has no column 'title'; it has id, image"),
        ({"id": "key"}, "input.id: the table has no column 'key'"),
        ({"columns": ["captoin"]}, "input.columns: the table has no column 'captoin'; did you mean 'caption'?"),
        ({"image": "number"}, "input.image: column 'number' is double; an image is binary, a string with its URI"),
        ({"text": "number"}, "input.text: column 'number' is double; a text is a string or a list of strings"),
        ({"id": "number"}, "input.id: column 'number' is double; ids are integers, strings, bytes, UUIDs, decimals"),
    ],
)
def test_wrong_columns(write_table: Callable[..., str], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_table(config(write_table([ROW]), **keys))
    assert message in str(caught.value)


def test_a_column_with_the_name_of_a_result(write_table: Callable[..., str]) -> None:
    path = write_table([{**ROW, "answer": "x"}])
    with pytest.raises(ConfigError, match="the table has a column 'answer', a name that the job adds"):
        open_table(config(path))
    assert open_table(config(path, columns=["id"])).columns.names == ["id", "image", "caption"]
    ids = write_table([{**ROW, "row_id": 5}], name="ids")
    with pytest.raises(ConfigError, match=r"set input\.id=row_id"):
        open_table(config(ids))
    assert open_table(config(ids, id="row_id")).rows == 1


@pytest.mark.parametrize("name", ["row_hash", "__row_key", "__texts", "__stats"])
def test_a_column_with_a_name_that_the_job_needs(write_table: Callable[..., str], name: str) -> None:
    path = write_table([{**ROW, name: "x"}])
    with pytest.raises(ConfigError, match=f"the table has a column '{name}', a name that the job needs for itself"):
        open_table(config(path))
    assert open_table(config(path, columns=["id"])).rows == 1


def test_paths_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"input\.path: '/nowhere/x' does not exist"):
        open_table(config("/nowhere/x"))
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(
        ConfigError,
        match=r"holds no \.parquet, \.csv, \.tsv, \.jsonl, \.tar or \.arrow files and no pictures; it holds 1 \.txt",
    ):
        open_table(config(str(tmp_path)))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ConfigError, match=r"bad\.parquet' is not Parquet, or is cut off"):
        open_table(config(str(tmp_path)))
    with pytest.raises(ConfigError, match="cannot open 'abc://x'"):
        open_table(config("abc://x"))


def test_large_and_dictionary_types(write_table: Callable[..., str]) -> None:
    large = {"image": pa.large_binary(), "texts": pa.large_list(pa.large_string()), "uri": pa.large_string()}
    path = write_table([ROW], caption=pa.dictionary(pa.int32(), pa.string()), **large)
    assert open_table(config(path)).rows == 1
    assert open_table(config(path, image="uri")).rows == 1
    assert open_table(config(path, text="texts")).columns.text_is_list
