"""Jobs in other precisions: what the `Predictor` says in the same one, and one line where a CPU does not have it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import ConfigError, JobConfig, run
from tests.pipeline.scoring.in_process import run_in_process
from vilt import Predictor
from vilt.inference import int8
from vilt.inference.precision import shown


def job(table: str, out: Path, precision: str) -> JobConfig:
    spec = {"path": table, "text": "caption", "id": "id"}
    values = {
        "input": spec,
        "model": "zoo://scenes",
        "output": {"path": str(out), "report": False},
        "precision": precision,
    }
    return JobConfig.parse("score", values)


@pytest.mark.skipif(not int8.can_multiply(torch.device("cpu")), reason="this CPU has no products of 8-bit integers")
def test_int8(
    tmp_path: Path,
    scene_rows: Callable[[int], list[dict[str, Any]]],
    write_table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_in_process(monkeypatch)
    rows = scene_rows(8)
    summary = run(job(write_table(rows, 1), tmp_path / "out", "int8"))
    assert summary.lineage["vilt.precision"] == f"{shown('int8')} on cpu"
    found = pq.read_table(tmp_path / "out").sort_by("id").to_pylist()
    rows.sort(key=lambda row: row["id"])
    predictor = Predictor.from_pretrained("zoo://scenes", precision="int8")
    expected = predictor.score([row["image"] for row in rows], [row["caption"] for row in rows])
    assert np.abs([row["score"] for row in found] - expected).max() < 1e-4


@pytest.mark.usefixtures("ray_cluster")
def test_a_cpu_without_it(
    tmp_path: Path,
    scene_rows: Callable[[int], list[dict[str, Any]]],
    write_table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(int8, "can_multiply", lambda _: False)
    with pytest.raises(ConfigError, match="precision 'int8' needs a CPU on which oneDNN multiplies"):
        run(job(write_table(scene_rows(2), 1), tmp_path / "out", "int8"))
    assert not list((tmp_path / "out").glob("*.parquet"))
