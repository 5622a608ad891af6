"""Columns of every type, through a Delta table and back."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline.results.delta.types import delta_schema
from pipeline.results.delta.values import as_delta, convert, fit_schema
from tests.pipeline.results.plain import values

NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, 5)
COLUMNS = {
    "u8": pa.array([1, None], pa.uint8()),
    "u16": pa.array([1, 65535], pa.uint16()),
    "u32": pa.array([1, 2**32 - 1], pa.uint32()),
    "u64": pa.array([1, 2**64 - 1], pa.uint64()),
    "i8": pa.array([1, -1], pa.int8()),
    "f16": pa.array(np.array([0.5, 2], np.float16)),
    "f64": pa.array([0.1, float("nan")], pa.float64()),
    "flag": pa.array([True, None]),
    "large": pa.array(["x", "ü"], pa.large_string()),
    "view": pa.array(["x", "a string of more than twelve bytes"], pa.string_view()),
    "bytes": pa.array([b"x", None], pa.large_binary()),
    "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
    "words": pa.array(["a", "b"]).dictionary_encode(),
    "naive": pa.array([NOON, None], pa.timestamp("ns")),
    "zoned": pa.array([NOON, None], pa.timestamp("ms", "Europe/Berlin")),
    "day": pa.array([NOON.date(), None], pa.date64()),
    "vector": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "vector_or_null": pa.array([None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "list_view": pa.array([None, [3, 4]], pa.list_view(pa.uint64())),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None], pa.struct([("a", pa.uint8()), ("b", pa.large_list(pa.string()))])),
    "map": pa.array([None, [("a", 2**64 - 1), ("b", None)]], pa.map_(pa.large_string(), pa.uint64())),
    "money": pa.array([None, 3], pa.decimal128(10, 2)),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_through_a_table(name: str, tmp_path: Path) -> None:
    rows = pa.table({name: COLUMNS[name]})
    fit = as_delta(rows, {})
    fit.validate(full=True)
    assert fit.schema == delta_schema(rows.schema)
    write_deltalake(tmp_path, fit)
    assert values(DeltaTable(tmp_path).to_pyarrow_table()[name]) == values(rows[name])


@pytest.mark.parametrize("name", COLUMNS)
def test_of_a_slice(name: str) -> None:
    whole = as_delta(pa.table({name: COLUMNS[name]}), {})
    assert values(as_delta(pa.table({name: COLUMNS[name].slice(1)}), {})[name]) == values(whole[name])[1:]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1500], pa.timestamp("ns")), pa.timestamp("us")),
        (pa.array([2**60], pa.timestamp("s")), pa.timestamp("us")),
        (pa.array([1], pa.timestamp("us")), pa.timestamp("us", "UTC")),
        (pa.array([86_400_000 + 5], pa.date64()), pa.date32()),
        (pa.array([2**53 + 1]), pa.float64()),
        (pa.array([[300]]), pa.list_(pa.int8())),
        (pa.array([{"a": 1, "b": 2}]), pa.struct([("a", pa.int64())])),
        (pa.array(["a"]), pa.int64()),
    ],
)
def test_what_is_not_exact_is_refused(array: pa.Array, kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowInvalid):
        convert(pa.chunked_array([array]), kind)


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    bad = pa.array([b"a\xffb", None, "ü".encode()]).view(pa.string())
    nested = pa.ListArray.from_arrays([0, 2, 3], bad)
    assert as_delta(pa.table({"x": bad}), {})["x"].to_pylist() == ["a\ufffdb", None, "ü"]
    assert as_delta(pa.table({"x": nested}), {})["x"].to_pylist() == [["a\ufffdb", None], ["ü"]]


def test_a_table_keeps_its_types() -> None:
    wider = as_delta(pa.table({"n": pa.array([1], pa.int32())}), {"n": pa.int64()})
    assert wider.schema == pa.schema([("n", pa.int64())])


def test_columns_that_are_missing_or_without_values_take_any_type() -> None:
    wanted = pa.schema([("n", pa.int64()), ("meta", pa.struct([("a", pa.int64()), ("b", pa.string())]))])
    rows = pa.table({"meta": pa.array([{"a": 1, "c": None}, None]), "n": pa.array([None, None], pa.string())})
    fit = fit_schema(rows, wanted)
    assert fit.schema == wanted
    assert fit.to_pylist() == [{"n": None, "meta": {"a": 1, "b": None}}, {"n": None, "meta": None}]
    assert fit_schema(rows.select(["meta"]), wanted)["n"].null_count == 2
