"""Columns of every type, through a Delta table and back."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import ConfigError
from pipeline.results.delta_types import as_delta, delta_schema

NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, 5)
COLUMNS = {
    "u8": pa.array([1, None], pa.uint8()),
    "u16": pa.array([1, 65535], pa.uint16()),
    "u32": pa.array([1, 2**32 - 1], pa.uint32()),
    "u64": pa.array([1, 2**63 - 1], pa.uint64()),
    "i8": pa.array([1, -1], pa.int8()),
    "f16": pa.array(np.array([0.5, 2], np.float16)),
    "f64": pa.array([0.1, float("nan")], pa.float64()),
    "flag": pa.array([True, None]),
    "large": pa.array(["x", "ü"], pa.large_string()),
    "bytes": pa.array([b"x", None], pa.large_binary()),
    "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
    "words": pa.array(["a", "b"]).dictionary_encode(),
    "naive": pa.array([NOON, None], pa.timestamp("ns")),
    "zoned": pa.array([NOON, None], pa.timestamp("ms", "Europe/Berlin")),
    "day": pa.array([NOON.date(), None], pa.date64()),
    "vector": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None], pa.struct([("a", pa.uint8()), ("b", pa.large_list(pa.string()))])),
    "money": pa.array([None, 3], pa.decimal128(10, 2)),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_through_a_table(name: str, tmp_path: Path) -> None:
    rows = pa.table({name: COLUMNS[name]})
    fit = as_delta(rows, {})
    assert fit.schema == delta_schema(rows.schema, pa.schema([]))
    write_deltalake(tmp_path, fit)
    back = DeltaTable(tmp_path).to_pyarrow_table()
    assert str(back.to_pylist()) == str(fit.to_pylist())
    assert delta_schema(rows.schema, pa.schema(DeltaTable(tmp_path).schema().to_arrow())).field(0).type == fit[0].type


def test_ids_of_64_bits_stay() -> None:
    fit = as_delta(pa.table({"id": pa.array([2**64 - 1], pa.uint64())}), {})
    assert fit["id"].to_pylist() == [-1]


def test_a_table_keeps_its_types() -> None:
    table = pa.schema([("n", pa.int64()), ("x", pa.float64())])
    found = delta_schema(pa.schema([("n", pa.int32()), ("x", pa.float32()), ("new", pa.uint8())]), table)
    assert found == pa.schema([("n", pa.int64()), ("x", pa.float64()), ("new", pa.int16())])
    wider = as_delta(pa.table({"n": pa.array([1], pa.int32())}), {"n": pa.int64()})
    assert wider.schema == pa.schema([("n", pa.int64())])


@pytest.mark.parametrize(
    ("column", "table", "line"),
    [
        (("wait", pa.duration("s")), None, r"column 'wait': duration\[s\] has no type in a Delta table"),
        (("a b", pa.int64()), None, "'a b' is no name for a column of a Delta table"),
        (("n", pa.int64()), ("n", pa.int32()), "column 'n' is int64 in the new files and int32 in the table"),
        (("n", pa.string()), ("n", pa.int32()), "column 'n' is string in the new files and int32 in the table"),
        (("n", pa.int64()), ("n", pa.list_(pa.int64())), "is int64 in the new files and list<"),
    ],
)
def test_what_does_not_fit_is_told(
    column: tuple[str, pa.DataType], table: tuple[str, pa.DataType] | None, line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        delta_schema(pa.schema([column]), pa.schema([table] if table else []))
