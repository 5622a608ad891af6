"""The job as one step of a Ray Data graph of your own: `python examples/ray_data.py`.

`build_processor` returns a function from Dataset to Dataset. Reading, joining and writing stay yours; decoding,
batching, the model and the reasons of rows that fail are the job's.
"""

from __future__ import annotations

import tempfile
from random import Random
from typing import Any

import pandas as pd
import ray
import ray.data

from jobs.demo import scenes
from pipeline import JobConfig, build_processor


def drawn(rows: int) -> pd.DataFrame:
    """Return a table of drawn scenes with captions; the last row is broken on purpose."""
    rng = Random(1)
    table: list[dict[str, Any]] = []
    for i in range(rows):
        scene = scenes.random_scene(rng)
        image = scenes.encode(scenes.draw(scene, rng), rng)
        table.append({"id": i, "image": image, "caption": scenes.caption(scene.things)})
    table[-1]["image"] = b"not an image"
    return pd.DataFrame(table)


def config(folder: str) -> JobConfig:
    """Return the config of the step: which columns it reads, and the checkpoint. It writes nothing."""
    values = {
        "input": {"path": folder, "text": "caption", "id": "id"},  # image URIs are relative to this folder
        "model": "zoo://scenes",
        "output": {"path": f"{folder}-out"},
    }
    return JobConfig.parse("score", values)


def main() -> None:
    """Score rows from pandas and rows from Parquet, each with a step of the graph before and after."""
    if not ray.is_initialized():
        ray.init(num_cpus=3, include_dashboard=False, logging_level="warning")
    with tempfile.TemporaryDirectory() as folder:
        process = build_processor(config(folder))
        frame = drawn(24)

        scored = process(ray.data.from_pandas(frame)).filter(lambda row: row["error"] is None).to_pandas()
        print(scored[["row_id", "score", "caption"]].head())
        assert len(scored) == 23, "the broken row has a reason, and was filtered out"

        ray.data.from_pandas(frame).write_parquet(folder)
        every = process(ray.data.read_parquet(folder)).to_pandas()
        print(every.error.value_counts(dropna=False))
        assert sorted(every.row_id) == list(range(24)), "each row comes out once"


if __name__ == "__main__":
    main()
