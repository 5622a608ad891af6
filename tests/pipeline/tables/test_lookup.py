"""Some rows of a table are found by id and by place, whatever its format, and little else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.common.row_ranges import row_key
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.tables.datasource import row_hashes
from pipeline.tables.lookup import by_file, find_ids, read_rows
from pipeline.tables.table import open_files


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> InputConfig:
    """Two files of ten rows: key 0 to 19, text "t<key>"."""
    for number in range(2):
        keys = range(10 * number, 10 * number + 10)
        if request.param == "parquet":
            table = pa.table({"key": list(keys), "text": [f"t{key}" for key in keys]})
            pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=3)
        elif request.param == "csv":
            (tmp_path / f"{number}.csv").write_text("key,text\n" + "".join(f"{key},t{key}\n" for key in keys))
        else:
            (tmp_path / f"{number}.jsonl").write_text("".join(f'{{"key": {key}, "text": "t{key}"}}\n' for key in keys))
    return InputConfig(path=str(tmp_path), id="key")


def test_by_id(spec: InputConfig) -> None:
    table = open_files(spec, StorageConfig())
    found = find_ids(table, "key", {3, 17, 99})
    assert found == {3: row_key(0, 3), 17: row_key(1, 7)}
    assert read_rows(table, list(found.values()), ["text"]) == {found[3]: {"text": "t3"}, found[17]: {"text": "t17"}}


def test_by_hash(spec: InputConfig) -> None:
    table = open_files(spec.model_copy(update={"id": None}), StorageConfig())
    name = table.files[1].name
    wanted = int(row_hashes(name, np.array([4]))[0])
    assert find_ids(table, None, {wanted}) == {wanted: row_key(1, 4)}
    rows: list[dict[str, Any]] = [{"file": name, "row": 4}, {"file": "gone", "row": 4}]
    assert by_file(table, rows) == [row_key(1, 4), -1]
    assert read_rows(table, [row_key(1, 4), -1], ["text"]) == {row_key(1, 4): {"text": "t14"}}


def test_strings_that_are_not_utf8(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    table = open_files(InputConfig(path=str(tmp_path)), StorageConfig())
    assert read_rows(table, [0, 1], ["text"]) == {0: {"text": "a"}, 1: {"text": b"\xff"}}
