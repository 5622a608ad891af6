"""The scores of groups of rows: counts and quantiles as numpy has them, whatever the values of the column are."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.reporting.groups import GROUP_QUANTILES, MOST_GROUPS, Groups
from pipeline.reporting.overview import look_at
from tests.pipeline.reporting.outputs import write_output


def groups(folder: Path, by: str, **columns: Any) -> Groups:
    count = len(next(iter(columns.values())))
    values = {"row_id": range(count), "score": np.arange(count, dtype=np.float32), **columns}
    found = look_at(write_output(folder / "out", values), StorageConfig(), by).groups
    assert found
    return found


def test_counts_quantiles_and_bins(tmp_path: Path) -> None:
    source = ["a"] * 60 + [None] * 30 + ["b"] * 10
    errors = ["image_null"] * 5 + [None] * 95
    found = groups(tmp_path, "source", source=source, error=errors)
    assert [(one.name, one.rows, one.rejected) for one in found.groups] == [("a", 60, 5), (None, 30, 0), ("b", 10, 0)]
    assert found.groups[0].quantiles == pytest.approx(np.quantile(np.arange(5, 60), GROUP_QUANTILES))
    assert [sum(one.bins) for one in found.groups] == [55, 30, 10]
    assert (found.low, found.high, found.other_groups, found.other_rows) == (5, 99, 0, 0)
    assert found.groups[2].bins[-1] > 0
    assert sum(found.groups[2].bins[:-4]) == 0


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pa.array([3, 3, 5]), ["3", "5"]),
        (pa.array(["x", "x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([date(2026, 1, 2)] * 2 + [date(2026, 1, 3)]), ["2026-01-02", "2026-01-03"]),
        (pa.array([True, True, False]), ["true", "false"]),
        (
            pa.StringArray.from_buffers(3, pa.array([b"\xff", b"\xff", b"b"]).buffers()[1], pa.py_buffer(b"\xff\xffb")),
            ["\ufffd", "b"],
        ),
    ],
)
def test_values_of_any_plain_type(tmp_path: Path, values: pa.Array, names: list[str]) -> None:
    assert [one.name for one in groups(tmp_path, "Score", Score=values).groups] == names


def test_the_largest_are_shown(tmp_path: Path) -> None:
    found = groups(tmp_path, "n", n=[0, 0, 0, *range(100)])
    assert (len(found.groups), found.groups[0].rows) == (MOST_GROUPS, 4)
    assert (found.other_groups, found.other_rows) == (100 - MOST_GROUPS, 103 - 3 - MOST_GROUPS)


def test_jobs_without_scores(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", {"row_id": [1, 2], "embedding": [[1.0], [2.0]], "s": ["a", "b"]}, ["embed"])
    found = look_at(out, StorageConfig(), "s").groups
    assert found
    assert [(one.rows, one.quantiles) for one in found.groups] == [(1, []), (1, [])]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("sourc", "--by: the results have no column 'sourc'; they have row_id, score, raw, "),
        ("raw", "--by: column 'raw' is binary"),
        ("md5", r"--by: column 'md5' is fixed_size_binary\[2\]"),
        ("coded", "--by: column 'coded' is dictionary<values=binary, "),
        ("parts", "--by: column 'parts' is list<"),
    ],
)
def test_columns_that_are_no_groups(tmp_path: Path, by: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        groups(
            tmp_path,
            by,
            raw=[b"a"],
            md5=pa.array([b"\xff\xfe"], pa.binary(2)),
            coded=pa.array([b"\xff"]).dictionary_encode(),
            parts=[["a"]],
        )
