"""A whole job, from encoded bytes to Parquet, writes what transformers computes from the same pictures."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import JobConfig, run
from tests.parity.checkpoints import WORDS, transformers_logits, write_checkpoint

SIZES = [(640, 480), (480, 640), (500, 375), (375, 500), (612, 612), (1024, 200)]


@pytest.mark.usefixtures("ray_cluster")
def test_scores_in_parquet_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = write_checkpoint(tmp_path / "model", "ViltForImageAndTextRetrieval", seed=9)
    rng = np.random.default_rng(0)
    images, texts = [], []
    for i in range(18):
        width, height = SIZES[i % len(SIZES)]
        picture = Image.fromarray(rng.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        picture.resize((width, height)).save(buffer, "JPEG")
        images.append(buffer.getvalue())
        texts.append(" ".join(rng.choice(WORDS[5:], rng.integers(1, 30))))
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"n": range(18), "image": images, "text": texts}), tmp_path / "table" / "a.parquet")
    values = {
        "input": {"path": str(tmp_path / "table")},
        "model": str(tmp_path / "model"),
        "output": {"path": str(tmp_path / "out"), "report": False},
        "precision": "float32",
        "batch": {"tokens": 1000},
    }
    run(JobConfig.parse("score", values))
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in images]
    expected = transformers_logits(tmp_path / "model", theirs, pictures, texts)[:, 0].numpy()
    out = sorted(pq.read_table(tmp_path / "out").to_pylist(), key=lambda row: row["n"])
    worst = np.abs(np.array([row["score"] for row in out]) - expected).max()
    print(f"\nworst difference of a score in Parquet: {worst:.1e}")
    assert worst < 1e-4
