"""Jobs on Ray clusters of several nodes on this machine: a script of its own process runs one and takes nodes away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import ray
import yaml
from ray._private.state import actors
from ray.cluster_utils import Cluster

from pipeline import JobConfig, run
from tests.faults.harness import ROWS, scene_table

ROOT = Path(__file__).parents[1]


def job_values(folder: Path, **keys: Any) -> dict[str, Any]:
    """A job over a table of `ROWS` rows that this writes into the folder."""
    (folder / "table").mkdir()
    pq.write_table(scene_table(ROWS), folder / "table" / "a.parquet", row_group_size=50)
    return {
        "input": {"path": str(folder / "table"), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "report": False, "rows_per_file": 30},
        "precision": "float32",
        "batch": {"window_rows": 40, "tokens": 512},
        **keys,
    }


def run_script(script: Path, values: dict[str, Any], folder: Path, *words: str, seconds: float = 400) -> list[str]:
    """Run `script CONFIG WORDS` with these values as its config; the lines that it prints."""
    (folder / "job.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, str(script), str(folder / "job.yaml"), *words]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(ROOT)
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own:  # a short path: Ray has sockets below it
        environment["RAY_TMPDIR"] = own
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@contextmanager
def cluster_of(head_cores: int) -> Iterator[Cluster]:
    """A cluster that is only its head yet, and this process as its driver."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cores})
    ray.init(address=cluster.address, logging_level="warning")
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


class Running(threading.Thread):
    """A job that runs while its script does other things."""

    def __init__(self, config: JobConfig) -> None:
        super().__init__()
        self.config = config
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """The job."""
        try:
            run(self.config)
        except BaseException as error:
            self.failure = error

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until it is so, or the job has ended."""
        while self.is_alive() and not true():
            time.sleep(0.1)

    def end(self) -> None:
        """Wait until the job has ended. Raises what it raised."""
        self.join()
        if self.failure:
            raise self.failure


def remove(cluster: Cluster, node: Any, graceful: bool = False) -> list[str]:
    """Kill a node, or let it end by itself; the classes of the actors that it had."""
    lost = [one["ActorClassName"] for one in actors().values() if one["Address"]["NodeID"] == node.node_id]
    cluster.remove_node(node, allow_graceful=graceful)
    return lost
