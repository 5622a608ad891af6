"""A job on a Ray cluster of three nodes, of which two say that they have a GPU: `CONFIG HOW`.

HOW is `replace`: one GPU node is killed in mid-run, and another joins; or `shrink`: none joins, and the head has no
cores. Prints one JSON line: the nodes, by what they are, and how many micro-batches each took.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from pipeline import JobConfig
from pipeline.stages.predict import PredictActor
from pipeline.stages.preprocess import Preprocess
from tests.clusters import Running, cluster_of, remove


class NodeActor(PredictActor):
    """Leaves a mark for each micro-batch, with its node; after three it waits until the file `go on` is there."""

    def __init__(self, config: JobConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.marks = Path(config.output.path).with_name("marks")
        self.done = 0

    def __call__(self, batches: pa.Table) -> pa.Table:
        (self.marks / f"{ray.get_runtime_context().get_node_id()}-{time.time_ns()}").touch()
        self.done += 1
        while self.done > 3 and not (self.marks / "go on").exists():
            time.sleep(0.1)
        return super().__call__(batches)


class MarkedPreprocess(Preprocess):
    """`Preprocess`, leaving a mark with the node that decodes."""

    def __call__(self, windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        marks = Path(self.config.output.path).with_name("marks")
        (marks / f"decoded-{ray.get_runtime_context().get_node_id()}-{time.time_ns()}").touch()
        return super().__call__(windows)


def worked(marks: Path) -> Counter[str]:
    """Node -> micro-batches that it took."""
    return Counter(mark.name.split("-")[0] for mark in marks.glob("*-*") if not mark.name.startswith("decoded"))


def main(config_file: str, how: str) -> None:
    """Start the cluster, run the job, take a node away and add one."""
    config = JobConfig.load("score", config_file)
    marks = Path(config.output.path).with_name("marks")
    marks.mkdir()
    stages = import_module("pipeline.scoring.dataflow")
    with cluster_of(head_cores=2 if how == "replace" else 0) as cluster:
        stages.PredictActor, stages.Preprocess = NodeActor, MarkedPreprocess  # type: ignore[attr-defined]
        kept, lost = (cluster.add_node(num_cpus=2, num_gpus=1) for _ in range(2))
        nodes = {kept.node_id: "kept", lost.node_id: "lost", cluster.head_node.node_id: "head"}
        job = Running(config)
        job.until(lambda: min(worked(marks)[node.node_id] for node in (kept, lost)) >= 2)
        held = remove(cluster, lost)
        if how == "replace":
            added = cluster.add_node(num_cpus=2, num_gpus=1)
            nodes[added.node_id] = "added"
            job.until(lambda: worked(marks)[added.node_id] >= 2)
        (marks / "go on").touch()
        job.join()
        decoded = Counter(nodes[mark.name.split("-")[1]] for mark in marks.glob("decoded-*"))
        took = {nodes[node]: count for node, count in worked(marks).items()}
        print(json.dumps({"took": took, "decoded": decoded, "lost actors": held}), flush=True)
        job.end()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
