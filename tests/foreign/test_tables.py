"""Every table of `tests.foreign.tables` is read right, or refused in one line before any work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table
from tests.foreign.tables import CASES, Case, Rows


def config(path: Path, **keys: Any) -> JobConfig:
    values = {"input": {**keys, "path": str(path)}, "model": "zoo://scenes", "output": {"path": "/nowhere/out"}}
    return JobConfig.parse("score", values)


def rows_of(job: JobConfig) -> Rows:
    """Return the rows as read tasks read them, without what every row has."""
    table = open_table(job)
    plan = read_plan(table, 100)
    tables = [rows for unread in table.unread(RowSet.none()) for rows in unread.read(plan)]
    rows = pa.concat_tables(tables, promote_options="default")  # parts without a row that cannot be read lack a column
    assert rows.num_rows == table.rows, "counted before, and read"
    return rows.drop_columns(["image", "text", "__row_key", "row_hash"]).to_pylist()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    keys = dict(case.config)
    job = config(tmp_path / keys.pop("path", ""), **keys)
    if case.refused is None:
        assert rows_of(job) == case.rows
        return
    with pytest.raises(ConfigError) as caught:
        rows_of(job)
    assert re.search(case.refused, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
