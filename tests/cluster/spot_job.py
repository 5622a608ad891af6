"""A job on spot nodes: `CONFIG ROUNDS`. In each round one node is drained with notice and one is killed without.

Each that goes is replaced. Prints one JSON line: how many of each went, the seconds of the run, and those of a run of
the same job on nodes that stay.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from pipeline import JobConfig
from pipeline.stages.predict import PredictActor
from tests.clusters import Running, cluster_of, remove

NODES, NOTICE_SECONDS = 3, 5.0
SECONDS_A_BATCH = 2.0  # of the model, so that nodes go in the middle of work


class SlowActor(PredictActor):
    """Takes its time, and leaves a mark for each micro-batch."""

    def __init__(self, config: JobConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.marks = Path(config.output.path).with_name("marks")

    def __call__(self, batches: pa.Table) -> pa.Table:
        time.sleep(SECONDS_A_BATCH)
        (self.marks / f"{time.time_ns()}").touch()
        return super().__call__(batches)


def drain(node: Any) -> None:
    """Tell Ray that a node goes in `NOTICE_SECONDS`, as the autoscaler does when a cloud gives notice."""
    deadline = int((time.time() + NOTICE_SECONDS) * 1000)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    control = GcsClient(address=ray.get_runtime_context().gcs_address)
    accepted, why = control.drain_node(node.node_id, reason, "a spot node", deadline)
    assert accepted, why


def main(config_file: str, rounds: int) -> None:
    """Start the cluster and run the job twice: on nodes that stay, then on nodes that go."""
    from pipeline.scoring import dataflow

    config = JobConfig.load("score", config_file)
    marks = Path(config.output.path).with_name("marks")
    marks.mkdir()
    dataflow.PredictActor = SlowActor  # type: ignore[misc]
    with cluster_of(head_cores=2) as cluster:
        nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(NODES)]
        started = time.monotonic()
        output = config.output.model_copy(update={"path": f"{config.output.path}-calm"})
        calm = Running(config.model_copy(update={"output": output}))
        calm.join()
        calm.end()
        calm_seconds, started = time.monotonic() - started, time.monotonic()
        job = Running(config)
        drained = killed = 0
        for _ in range(rounds):
            seen = len(list(marks.iterdir()))
            job.until(lambda seen=seen: len(list(marks.iterdir())) > seen)
            if not job.is_alive():
                break
            drain(nodes[0])
            nodes.append(cluster.add_node(num_cpus=1, num_gpus=1))
            time.sleep(NOTICE_SECONDS)
            remove(cluster, nodes.pop(0))
            drained += 1
            if not job.is_alive():
                break
            remove(cluster, nodes.pop(0))
            nodes.append(cluster.add_node(num_cpus=1, num_gpus=1))
            killed += 1
        job.join()
        seconds = time.monotonic() - started
        job.end()
        values = {"drained": drained, "killed": killed, "seconds": seconds, "calm seconds": calm_seconds}
        print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
