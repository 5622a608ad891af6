"""Statistics of data files, by which engines skip files: with them, each finds what it would find without."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.results.delta_statistics import statistics_json


def statistics(folder: Path, rows: pa.Table, finite: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
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


def test_lists_and_maps_have_none_and_flags_no_bounds(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "flag": [True, None],
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "list": [[{"x": 1}], []],
            "n": [None, 7],
            "none": pa.nulls(2, pa.string()),
            "long": ["x" * 1000, "y"],
        }
    )
    assert statistics(tmp_path, rows) == {
        "numRecords": 2,
        "minValues": {"n": 7},
        "maxValues": {"n": 7},
        "nullCount": {"flag": 1, "n": 1, "none": 2, "long": 0},
    }


def test_floats_have_bounds_if_they_are_never_nan(tmp_path: Path) -> None:
    """Parquet's bounds leave out NaN, which SQL takes for the greatest number."""
    rows = pa.table({"x": [1.0, float("nan"), 2.0], "score": [1.0, None, 2.0]})
    found = statistics(tmp_path, rows, ("score",))
    assert (found["minValues"], found["maxValues"]) == ({"score": 1.0}, {"score": 2.0})
