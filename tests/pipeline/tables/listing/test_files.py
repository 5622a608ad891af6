"""Which files are a table, and of what format."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline import ConfigError
from pipeline.tables.formats.webdataset.format import WebDatasetFormat
from pipeline.tables.input_file import listed_file
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import (
    ROWS,
    config,
    refusal,
    texts_of,
    write_csv,
    write_jsonl,
    write_parquet,
    write_tar,
)


def test_several_formats_and_no_extension(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ROWS)
    write_jsonl(tmp_path / "b.jsonl", ROWS[:3])
    with pytest.raises(
        ConfigError, match=r"holds files of several formats \(1 csv, 1 jsonl\); choose in input\.format"
    ):
        open_table(config(tmp_path))
    assert open_table(config(tmp_path, format="jsonl")).rows == 3
    assert open_table(config(tmp_path / "a.csv")).rows == 23
    (tmp_path / "p").mkdir()
    write_parquet(tmp_path / "p" / "part-00000", ROWS)
    assert open_table(config(tmp_path / "p", format="parquet")).rows == 23


def test_lists_and_sizes_beside_tars_are_no_table(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar", {"1.jpg": b"x", "1.txt": b"a"})
    (tmp_path / "sizes.json").write_text('{"00000.tar": 1}')
    assert texts_of(tmp_path) == ["a"], "as DataComp and `vilt filter` write it"
    pq.write_table(pa.table({"url": ["http://a"], "text": ["a"]}), tmp_path / "00000.parquet")
    line = refusal(tmp_path)
    assert "the tars hold the pictures, the Parquet files of their names a list: set input.format=webdataset" in line
    assert texts_of(tmp_path, format="webdataset") == ["a"], "what the line says"
    (tmp_path / "00000_stats.json").write_text('{"successes": 1}')
    assert texts_of(tmp_path) == ["a"], "a folder as img2dataset leaves it"


@pytest.mark.parametrize("key", ["../evil.tar", "a/../../evil.tar", "./a.tar"])
def test_a_key_that_leads_out_of_the_table_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"has '\.' or '\.\.' in its name"):
        listed_file("bucket/t", f"bucket/t/{key}", {"size": 1})


@pytest.mark.parametrize("keys", [["a.tar", "/a.tar"], ["s/a.tar", "s//a.tar"]])
def test_keys_whose_results_would_overwrite_each_other_are_refused(keys: list[str]) -> None:
    found = {f"b/t/{key}": {"size": 1} for key in keys}
    with pytest.raises(ConfigError, match="apart from slashes"):
        WebDatasetFormat().listing(LocalFileSystem(), "b/t", list(found), found)
    assert WebDatasetFormat().listing(LocalFileSystem(), "b/t", list(found)[1:], found).files[0].size == 1
