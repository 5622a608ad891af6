"""A job on spot nodes: `CONFIG ROUNDS SECONDS`. In each round a node is drained with notice, and one killed without.

Each that goes is replaced; SECONDS are from one loss to the next. Prints one JSON line: how many of each went, the
seconds of the run and of the same job on nodes that stay, and, as medians, what a loss has cost by steps.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import ray
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from pipeline import JobConfig
from pipeline.common.ray_compat import IDLE_MILLISECONDS, IDLE_VARIABLE, PRELOAD_VARIABLE, PRELOADED
from pipeline.stages.predict import PredictActor
from tests.clusters import Running, cluster_of, remove

NODES, NOTICE_SECONDS = 3, 10.0
SECONDS_A_BATCH = 2.0  # of the model, so that nodes go in the middle of work
# As configs/deploy/spot.yaml has it: Ray's own 5 checks, 3 s apart, leave the work of a killed node waiting for 15 s.
HEALTH_CHECKS = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "5"}
WORKERS = {IDLE_VARIABLE: IDLE_MILLISECONDS, PRELOAD_VARIABLE: PRELOADED}  # as configs/deploy/Dockerfile has it


class SlowActor(PredictActor):
    """Takes its time, and leaves marks: when it began to load, when it was ready, and for each micro-batch."""

    def __init__(self, config: JobConfig, *args: Any, **kwargs: Any) -> None:
        self.marks = Path(config.output.path).with_name("marks")
        self.mark("loading")
        super().__init__(config, *args, **kwargs)
        self.mark("ready")

    def __call__(self, batches: pa.Table) -> pa.Table:
        time.sleep(SECONDS_A_BATCH)
        self.mark("batch")
        return super().__call__(batches)

    def mark(self, what: str) -> None:
        """Leave a mark with the time."""
        (self.marks / f"{what}-{ray.get_runtime_context().get_node_id()}-{time.time()}").touch()


class Losses:
    """When nodes have joined and gone, and when Ray knew that they were gone."""

    def __init__(self) -> None:
        self.joined: dict[str, float] = {}
        self.killed: dict[str, float] = {}
        self.known: dict[str, float] = {}
        self.over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ask Ray for the nodes that it knows to be gone while it is open."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def _run(self) -> None:
        while not self.over.wait(0.5):
            for node in ray.nodes():
                if not node["Alive"]:
                    self.known.setdefault(node["NodeID"], time.time())

    def steps(self, marks: Path) -> dict[str, float | None]:
        """Return the median seconds of each step from a loss to work on the node that replaces it."""
        first: dict[str, dict[str, float]] = {"loading": {}, "ready": {}, "batch": {}}
        for mark in marks.iterdir():
            what, node, when = mark.name.split("-")
            first[what][node] = min(float(when), first[what].get(node, float("inf")))
        loading, ready, batch = first["loading"], first["ready"], first["batch"]
        replaced = [node for node in self.joined if node in loading]
        steps = {
            "killed until Ray knows": [self.known[one] - self.killed[one] for one in self.killed if one in self.known],
            "joined until an actor loads": [loading[one] - self.joined[one] for one in replaced],
            "an actor loads": [ready[one] - loading[one] for one in replaced if one in ready],
            "ready until its first micro-batch": [batch[one] - ready[one] for one in replaced if one in batch],
        }
        return {name: round(median(some), 1) if some else None for name, some in steps.items()}


def drain(node: Any) -> None:
    """Tell Ray that a node goes in `NOTICE_SECONDS`, as the autoscaler does when a cloud gives notice."""
    deadline = int((time.time() + NOTICE_SECONDS) * 1000)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    control = GcsClient(address=ray.get_runtime_context().gcs_address)
    accepted, why = control.drain_node(node.node_id, reason, "a spot node", deadline)
    assert accepted, why


def main(config_file: str, rounds: int, seconds_between: float) -> None:
    """Start the cluster and run the job twice: on nodes that stay, then on nodes that go."""
    from pipeline.scoring import dataflow

    config = JobConfig.load("score", config_file)
    marks = Path(config.output.path).with_name("marks")
    marks.mkdir()
    dataflow.PredictActor = SlowActor  # type: ignore[misc]
    os.environ.update(HEALTH_CHECKS | WORKERS)
    with cluster_of(head_cores=2) as cluster:
        nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(NODES)]
        calm_seconds = run_to_end(config.model_copy(update={"output": calm_output(config)}))
        losses, started = Losses(), time.monotonic()
        job, drained, killed = Running(config), 0, 0

        def add() -> None:
            node = cluster.add_node(num_cpus=1, num_gpus=1)
            losses.joined[node.node_id] = time.time()
            nodes.append(node)

        def lose(at: float, graceful: bool) -> bool:
            """Lose the oldest node at a time of the run; False if the job has ended before."""
            job.until(lambda: time.monotonic() - started >= at)
            if not job.is_alive():
                return False
            if graceful:
                drain(nodes[0])
                add()
                time.sleep(NOTICE_SECONDS)
            node = nodes.pop(0)
            losses.killed[node.node_id] = time.time()
            remove(cluster, node, graceful)
            if not graceful:
                add()
            return True

        with losses.watched():
            for number in range(rounds):
                drained += lose((2 * number + 1) * seconds_between, graceful=True)
                killed += lose((2 * number + 2) * seconds_between, graceful=False)
            job.join()
        seconds = time.monotonic() - started
        job.end()
        values = {"drained": drained, "killed": killed, "seconds": seconds, "calm seconds": calm_seconds}
        print(json.dumps({**values, "steps": losses.steps(marks)}), flush=True)


def calm_output(config: JobConfig) -> Any:
    """Return the output of the job on nodes that stay."""
    folder = Path(config.output.path).parent / "calm"
    (folder / "marks").mkdir(parents=True)
    return config.output.model_copy(update={"path": str(folder / "out")})


def run_to_end(config: JobConfig) -> float:
    """Run a job and return its seconds."""
    started = time.monotonic()
    job = Running(config)
    job.join()
    job.end()
    return time.monotonic() - started


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
