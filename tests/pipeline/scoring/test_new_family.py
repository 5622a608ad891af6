"""A family that an installed package brings runs a job like those of the registry, and nothing else changes."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.vilt.models import toy
from vilt.models.registry import register

ROOT = Path(__file__).parents[3]
JOB = """
import sys
from pipeline import ConfigError, JobConfig, run

def job(task, out):
    output = {"path": out, "report": False}
    values = {"input": {"path": sys.argv[1]}, "model": sys.argv[2], "output": output, "max_error_rate": 1}
    return JobConfig.parse(task, values)

summary = run(job("embed", sys.argv[3]))
print(summary.scored, summary.rejected)
try:
    run(job("classify", sys.argv[3] + "2"))
except ConfigError as error:
    print(error)
"""


def test_a_family_of_another_package_runs_a_job(tmp_path: Path) -> None:
    installed = tmp_path / "packages" / "toy-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[vilt.families]\ntoy = tests.vilt.models.toy:FAMILY\n")
    (tmp_path / "model").mkdir()
    toy.write_checkpoint(str(tmp_path / "model"))
    colors = [(1, 2, 3), (40, 50, 60), (255, 0, 9)]
    images = []
    for color in colors:
        buffer = io.BytesIO()
        Image.new("RGB", (5, 4), color).save(buffer, "PNG")
        images.append(buffer.getvalue())
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"n": range(4), "image": [*images, None]}), tmp_path / "table" / "a.parquet")
    path = os.pathsep.join([str(tmp_path / "packages"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", JOB, tmp_path / "table", tmp_path / "model", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "3 {'image_null': 1}" in done.stdout
    assert "is Toy, which cannot classify; name a checkpoint of ViT" in done.stdout
    rows = sorted(pq.read_table(tmp_path / "out").to_pylist(), key=lambda row: row["n"])
    expected = np.array(colors) * [1, 10, 100]
    assert np.allclose([row["embedding"] for row in rows[:3]], expected)
    assert rows[3]["error"] == "image_null"


def test_a_model_type_belongs_to_one_family() -> None:
    taken = toy.FAMILY.__class__(**{**toy.FAMILY.__dict__, "model_type": "vit"})
    with pytest.raises(ValueError, match="model_type 'vit' is taken by ViT"):
        register(taken)
