"""Rows to label: drawn evenly, the same by the same seed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.label_sample import draw_sample
from tests.pipeline.evaluation.scored_output import write_output


def drawn(out: str, path: Path, count: int, seed: int = 0) -> list[dict[str, str]]:
    path.unlink(missing_ok=True)
    rows = draw_sample(out, count, seed, str(path), StorageConfig())
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == rows
    return found


def test_each_row_with_the_same_chance(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=pa.array(range(50)), score=pa.array(np.arange(50), pa.float32()))
    path = tmp_path / "labels.csv"
    first = drawn(out, path, 10)
    assert first == drawn(out, path, 10)
    counts = Counter(row["row_id"] for seed in range(100) for row in drawn(out, path, 10, seed))
    assert len(counts) == 50
    assert 5 <= min(counts.values()) <= max(counts.values()) <= 40, "20 of each on average"


def test_what_is_written(tmp_path: Path) -> None:
    out = write_output(
        tmp_path / "out",
        caption=pa.array(["=1+1", "a, b\nc", None]),
        image=pa.array([b"x", b"y", b"z"]),
        price=pa.array([-1.5, 2.0, 3.0]),
        row_id=pa.array(["=a", "b", "c"]),
        score=pa.array([1.0, 2.0, None], pa.float32()),
    )
    found = {row["row_id"]: row for row in drawn(out, tmp_path / "labels.csv", 9)}
    assert found == {
        "=a": {"row_id": "=a", "caption": "'=1+1", "price": "-1.5", "good": ""},
        "b": {"row_id": "b", "caption": "a, b\nc", "price": "2.0", "good": ""},
    }


def test_labels_are_not_overwritten(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=pa.array([1]), score=pa.array([1.0], pa.float32()))
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(ConfigError, match="is there already, perhaps with labels"):
        draw_sample(out, 1, 0, str(tmp_path / "labels.csv"), StorageConfig())
    assert (tmp_path / "labels.csv").read_text() == "mine"
