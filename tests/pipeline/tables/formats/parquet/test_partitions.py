"""Columns in the names of folders."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.tables.formats.parquet.partitions import find_partitions

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5)


def names(*values: str, key: str = "k") -> list[str]:
    return [f"{key}={value}/0.parquet" for value in values]


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        (["1", "-20"], pa.int64(), [1, -20]),
        (["1", "007"], pa.string(), ["1", "007"]),
        (["1", "1.5"], pa.string(), ["1", "1.5"]),
        (["-0", "1"], pa.string(), ["-0", "1"]),
        (["--1", "1"], pa.string(), ["--1", "1"]),
        (["9" * 18, "1"], pa.int64(), [int("9" * 18), 1]),
        (["9" * 19, "1"], pa.string(), ["9" * 19, "1"]),
        (["\u0663", "1"], pa.string(), ["\u0663", "1"]),
        (["__HIVE_DEFAULT_PARTITION__", "3"], pa.int64(), [None, 3]),
        (["__HIVE_DEFAULT_PARTITION__"], pa.string(), [None]),
        (["a%20b", "c"], pa.string(), ["a b", "c"]),
        (["2026-01-01"], pa.string(), ["2026-01-01"]),
    ],
)
def test_types_and_values(values: list[str], kind: pa.DataType, read: list[Any]) -> None:
    found = find_partitions(names(*values))
    assert found.columns == pa.schema([("k", kind)])
    assert [found.values(name) for name in names(*values)] == [{"k": value} for value in read]


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_a_value_is_read_as_it_was_written(values: list[str]) -> None:
    paths = names(*(quote(value, safe="") for value in values))
    found = find_partitions(paths)
    for path, value in zip(paths, values, strict=True):
        assert str(found.values(path)["k"]) == value


def test_several_columns_and_folders_without() -> None:
    files = ["year=2026/plain/lang=de/a.parquet", "year=2027/plain/lang=en/b=c.parquet"]
    found = find_partitions(files)
    assert found.columns == pa.schema([("year", pa.int64()), ("lang", pa.string())])
    assert found.values(files[1]) == {"year": 2027, "lang": "en"}
    assert find_partitions(["a.parquet", "b/c.parquet"]).values("b/c.parquet") == {}
    assert find_partitions([]).columns == pa.schema([])


def test_folders_that_name_other_columns() -> None:
    message = (
        "input.path: the folders of 'b/0.parquet' name the columns none, those of 'year=1/lang=de/0.parquet' "
        "['year', 'lang']"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_partitions(["year=1/lang=de/0.parquet", "b/0.parquet"])
    with pytest.raises(ConfigError, match=r"name the columns \['lang'\], those of"):
        find_partitions(["year=1/0.parquet", "lang=de/0.parquet"])
    assert find_partitions(["year=1/lang=de/0.parquet", "lang=en/year=2/0.parquet"]).columns.names == ["year", "lang"]
