"""A job of heavy rows on a Ray whose object store has 200 MB: `CONFIG`.

Its actors take three times as long as its readers, and its storage is slow. Prints one JSON line: what became of the
rows, by how much memory each kind of process grew at most, and how many bytes were spilled.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Any

import pyarrow as pa
import ray

from benchmarks.scale import PeakMemory
from pipeline import JobConfig, run
from pipeline.cluster.actor_pool import fit_pool
from pipeline.cluster.nodes import running_nodes
from pipeline.common.ray_compat import spilled_bytes
from pipeline.planning.memory import bound_memory
from pipeline.stages.predict import PredictActor
from pipeline.stages.preprocess import Preprocess

IMAGE_BYTES = 60_000_000
STORE_BYTES = 200_000_000
READ_SECONDS = 0.5  # of the storage, for a window


class SlowActor(PredictActor):
    """Takes three times as long as reading a window."""

    def __call__(self, batches: pa.Table) -> pa.Table:
        """Predict, later."""
        time.sleep(3 * READ_SECONDS)
        return super().__call__(batches)


class SlowRead(Preprocess):
    """Gets its windows from a slow storage."""

    def __call__(self, windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Preprocess, later."""
        return super().__call__(_late(windows))


def _late(windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for window in windows:
        time.sleep(READ_SECONDS)
        yield window


def main(config_file: str) -> None:
    """Run the job."""
    flow: Any = import_module("pipeline.scoring.dataflow")
    flow.PredictActor, flow.Preprocess = SlowActor, SlowRead
    ray.init(
        address="local", num_cpus=4, object_store_memory=STORE_BYTES, include_dashboard=False, logging_level="warning"
    )
    memory = PeakMemory()
    memory.start()
    summary = run(JobConfig.load("score", config_file), log_every=5.0)
    memory.ended.set()
    peaks = {kind: round(peak) for kind, peak in memory.peak.items()}
    config = JobConfig.load("score", config_file)
    planned = asdict(bound_memory(config, fit_pool(config, running_nodes()), IMAGE_BYTES, IMAGE_BYTES))
    said: dict[str, Any] = {
        "planned": planned,
        "rows": summary.rows_out,
        "pairs": summary.pairs,
        "rejected": summary.rejected,
    }
    said["seconds"] = summary.seconds
    print(json.dumps({**said, "peak_mib": peaks, "spilled": spilled_bytes()}))
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
