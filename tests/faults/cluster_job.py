"""A job on a Ray cluster of two nodes, one of which is taken away in mid-run: `CONFIG PARTS`."""

import sys
from pathlib import Path

from pipeline import JobConfig
from tests.clusters import Running, cluster_of, remove


def main(config_file: str, parts: int) -> None:
    """Run the job; remove the second node once it has written so many files."""
    config = JobConfig.load("score", config_file)
    folder = Path(config.output.path) / "_progress"
    with cluster_of(head_cores=3) as cluster:  # enough for the job when the head is alone
        second = cluster.add_node(num_cpus=2)
        job = Running(config)
        job.until(lambda: len(list(folder.glob("part-*"))) >= parts)
        if job.is_alive():
            print("node removed, with", *remove(cluster, second), flush=True)
        job.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
