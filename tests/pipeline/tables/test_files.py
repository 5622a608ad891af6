"""Which files are a table, and of what format."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import ConfigError
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import (
    ROWS,
    config,
    write_csv,
    write_jsonl,
    write_parquet,
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
