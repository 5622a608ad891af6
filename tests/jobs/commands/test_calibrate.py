"""`vilt calibrate`, from the draw to the threshold that `vilt filter` takes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from tests.pipeline.evaluation.scored_output import write_output


def vilt_calibrate(*words: str) -> Result:
    return CliRunner().invoke(app, ["calibrate", *words])


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """300 rows, of which those with a score of 0 and more are good."""
    monkeypatch.chdir(tmp_path)
    scores = np.random.default_rng(0).normal(size=300).astype(np.float32)
    return write_output(
        tmp_path / "out", row_id=pa.array(range(300)), good_one=pa.array(scores >= 0), score=pa.array(scores)
    )


def test_from_the_draw_to_the_threshold(out: str) -> None:
    done = vilt_calibrate(out, "--sample", "200")
    assert done.exit_code == 0, done.output
    assert f"vilt calibrate {out} labels.csv" in done.output
    with Path("labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["good"] = {"True": "yes", "False": "no"}[row["good_one"]]
    with Path("labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    values = json.loads(vilt_calibrate(out, "labels.csv", "--precision", "1", "--json").stdout)
    assert (values["rows"], values["labelled"], values["auc"]) == (300, 200, 1.0)
    threshold = values["proposed"]["min_score"]
    assert -0.1 < threshold < 0.1
    text = vilt_calibrate(out, "labels.csv", "--precision", "1").output
    assert f"for 100% good rows:  keep: {{min_score: {threshold:g}}}" in text
    assert "a good row scores higher than another in 100.0% of pairs (AUC)" in text


def test_without_labels(out: str) -> None:
    done = vilt_calibrate(out)
    assert done.exit_code == 2
    assert "draw rows to label with --sample 200" in done.output
