"""Texts that are too long, and lists of too many: failures in their place, without a Python string of them."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.common.error_codes import Failure
from pipeline.config.limits import LimitsConfig
from pipeline.stages.text_values import text_counts, text_values

LIMITS = LimitsConfig(text_bytes=5, texts_per_row=3)
LONG = Failure("text_too_long", "6 bytes, more than 5 (limits.text_bytes)")
MANY = Failure("texts_too_many", "4 texts, more than 3 (limits.texts_per_row)")
TEXTS: list[Any] = ["abcde", "abcdef", None, "", "éé", "ééé"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_texts(kind: pa.DataType) -> None:
    column = pa.chunked_array(
        [pa.array(TEXTS[:2], pa.string()).cast(kind), pa.array(TEXTS[2:], pa.string()).cast(kind)]
    )
    assert text_values(column, LIMITS) == ["abcde", LONG, None, "", "éé", LONG]
    assert text_values(column.slice(2, 3), LIMITS) == [None, "", "éé"]
    assert text_values(column.slice(0, 0), LIMITS) == []


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_lists(kind: pa.DataType) -> None:
    lists = [["a", "abcdef", None], None, [], ["a"] * 4, ["b"]]
    column = pa.chunked_array([pa.array([["x"], *lists], kind).slice(1), pa.array(lists, kind)])
    assert text_values(column, LIMITS) == [["a", LONG, None], None, [], MANY, ["b"]] * 2
    assert text_counts(column.chunk(0)).tolist() == [3, 0, 0, 4, 1]


def test_bytes_that_are_not_utf8() -> None:
    column = pa.chunked_array([pa.array([b"\xff", b"\xff" * 6, b"a"], pa.binary()).view(pa.string())])
    invalid, long, good = text_values(column, LIMITS)
    assert (invalid.reason, long, good) == ("text_invalid", LONG, "a")


def test_a_long_value_of_a_dictionary_is_not_repeated() -> None:
    values = pa.array(["x" * 50_000_000, "a"])
    column = pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([0] * 1000 + [1, None], pa.int32()), values)])
    before = pa.total_allocated_bytes()
    found = text_values(column, LimitsConfig())
    assert {value.reason for value in found[:1000]} == {"text_too_long"}
    assert found[1000:] == ["a", None]
    assert pa.total_allocated_bytes() - before < 50_000_000
