"""Statistics of data files, by which engines skip files: with them, each finds what it would find without."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema
from deltalake.transaction import create_table_with_add_actions
from fsspec.implementations.local import LocalFileSystem

from pipeline.results.delta.data_files import add_action
from pipeline.results.delta.statistics import LAST_CHARACTER, statistics_json

NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, 5)
ZONED = NOON.replace(tzinfo=datetime.timezone.utc)


def statistics(folder: Path, rows: pa.Table, finite: tuple[str, ...] = ()) -> dict[str, Any]:
    pq.write_table(rows, folder / "a.parquet", row_group_size=2)
    return json.loads(statistics_json(pq.read_metadata(folder / "a.parquet"), finite))


def test_names_are_not_split_at_dots(tmp_path: Path) -> None:
    rows = pa.table({"meta": [{"width": 1}, {"width": 2}], "meta.width": [3, 4], "a": [1, 2], "a.b": ["x", "y"]})
    assert statistics(tmp_path, rows) == {
        "numRecords": 2,
        "minValues": {"meta": {"width": 1}, "meta.width": 3, "a": 1, "a.b": "x"},
        "maxValues": {"meta": {"width": 2}, "meta.width": 4, "a": 2, "a.b": "y"},
        "nullCount": {"meta": {"width": 0}, "meta.width": 0, "a": 0, "a.b": 0},
    }


def test_what_needs_no_bounds_and_how_others_are_spelled(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "list": [[{"x": 1}], []],
            "bytes": [b"x", None],
            "none": pa.nulls(2, pa.string()),
            "flag": [True, None],
            "long": ["x" * 1000, "y" * 1000],
            "zoned": pa.array([ZONED, None], pa.timestamp("us", "UTC")),
            "naive": [NOON, NOON],
            "day": [NOON.date(), None],
        }
    )
    found = statistics(tmp_path, rows)
    assert "map" not in found["nullCount"]
    assert found["nullCount"]["none"] == 2
    assert found["maxValues"] == {
        "flag": True,
        "long": "y" * 64 + LAST_CHARACTER,
        "zoned": "2026-11-21T12:00:00.000005Z",
        "naive": "2026-11-21T12:00:00.000005",
        "day": "2026-11-21",
    }
    assert found["minValues"]["long"] == "x" * 64


@pytest.mark.parametrize(
    "odd",
    [
        pa.array([1.0, float("nan"), 2.0]),
        pa.array([1, 2, 3], pa.decimal128(20, 0)),
        pa.array([{"a": 0.5}] * 3),
        pa.array([LAST_CHARACTER * 70] * 3),
        pa.array([0, 2**63 - 1, 1], pa.timestamp("us")),  # DuckDB's and Postgres's infinity, beyond Python's years
        pa.array([0, -(2**57), 1], pa.timestamp("us", "UTC")),
        pa.array([0, 2**31 - 1, 1], pa.date32()),
    ],
)
def test_bounds_of_all_columns_or_of_none(odd: pa.Array, tmp_path: Path) -> None:
    """Parquet's bounds leave out NaN, which SQL takes for the greatest number; JSON's numbers are no decimals."""
    found = statistics(tmp_path, pa.table({"n": [1, 2, 3], "odd": odd}))
    assert found.keys() == {"numRecords", "nullCount"}
    assert found["nullCount"]["n"] == 0


def test_floats_that_are_never_nan_have_bounds(tmp_path: Path) -> None:
    found = statistics(tmp_path, pa.table({"score": [1.0, None, 2.0]}), ("score",))
    assert (found["minValues"], found["maxValues"]) == ({"score": 1.0}, {"score": 2.0})


COLUMNS = {
    "int": pa.array([1, None, 3]),
    "text": pa.array(["a" * 100, "b", None]),
    "astral": pa.array(["\U0010fffe" * 70, "b", "\U0001f600"]),
    "rare": pa.array(["\U00020000", None, "\U0002f804"]),
    "flag": pa.array([True, False, None]),
    "none": pa.nulls(3, pa.string()),
    "zoned": pa.array([ZONED, None, ZONED.replace(year=1500)], pa.timestamp("us", "UTC")),
    "naive": pa.array([NOON, None, NOON.replace(year=9999)]),
    "day": pa.array([NOON.date(), None, None]),
    "float": pa.array([0.5, float("nan"), None]),
    "score": pa.array([0.1, 0.2, None], pa.float32()),
    "struct": pa.array([{"a": 1}, {"a": None}, None]),
    "list": pa.array([[1], [], None]),
    "bytes": pa.array([b"\xff", b"", None]),
    "decimal": pa.array([2**64 - 1, None, 0], pa.decimal128(20, 0)),
}


@pytest.mark.parametrize("left_out", ["", "float decimal"])
def test_readers_find_the_rows_of_every_column(left_out: str, tmp_path: Path) -> None:
    """Through `to_pyarrow_dataset`, with bounds (without floats and decimals) and without."""
    rows = pa.table({name: column for name, column in COLUMNS.items() if name not in left_out.split()})
    pq.write_table(rows, tmp_path / "a.parquet")
    size = (tmp_path / "a.parquet").stat().st_size
    action = add_action(LocalFileSystem(), str(tmp_path), "a.parquet", size, ("score",)).action
    assert ("minValues" in json.loads(action.stats)) == bool(left_out)
    create_table_with_add_actions(str(tmp_path), Schema.from_arrow(rows.schema), [action])
    dataset = DeltaTable(tmp_path).to_pyarrow_dataset()
    for name in rows.column_names:
        column, field = rows[name], pc.field(name)
        assert dataset.to_table(filter=field.is_null()).num_rows == column.null_count, name
        assert dataset.to_table(filter=field.is_valid()).num_rows == 3 - column.null_count, name
        for value in column.drop_null() if not pa.types.is_nested(column.type) else ():
            if value.as_py() == value.as_py():
                assert dataset.to_table(filter=field == value).num_rows >= 1, (name, value)
                assert dataset.to_table(filter=field >= value).num_rows >= 1, (name, value)
                assert dataset.to_table(filter=field <= value).num_rows >= 1, (name, value)
