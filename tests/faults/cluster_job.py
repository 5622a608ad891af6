"""A job on a Ray cluster of two nodes on this machine, one of which is taken away in mid-run: `CONFIG PARTS`."""

import sys
import threading
import time
from pathlib import Path

import ray
from ray._private.state import actors
from ray.cluster_utils import Cluster

from pipeline import JobConfig, run


def main(config_file: str, parts: int) -> None:
    """Run the job in a thread; remove the second node once it has written so many files; -1 for never."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})  # enough for the job when it is alone
    second = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, logging_level="warning")
    config = JobConfig.load("score", config_file)
    failure: list[BaseException] = []

    def work() -> None:
        try:
            run(config)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    folder = Path(config.output.path) / "_progress"
    while parts >= 0 and thread.is_alive():
        if len(list(folder.glob("part-*"))) >= parts:
            lost = [one["ActorClassName"] for one in actors().values() if one["Address"]["NodeID"] == second.node_id]
            cluster.remove_node(second, allow_graceful=False)
            print("node removed, with", *lost, flush=True)
            break
        time.sleep(0.1)
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    if failure:
        raise failure[0]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
