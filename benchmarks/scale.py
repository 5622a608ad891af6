"""The whole job at two table sizes: rate and peak memory of each kind of process: `python -m benchmarks.scale`.

Memory that grows with the table, or a rate that falls, would show here. The table is drawn scenes, scored with the
shipped model, so that reading, decoding and Ray itself weigh as much as they can against the model. Each size is scored
by a process of its own: what a job leaves behind is not the next one's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import machine
from jobs.demo import scenes
from pipeline import JobConfig, run
from pipeline.cluster.session import ray_session


class PeakMemory(threading.Thread):
    """Samples the memory of this process and its descendants, by what they are, twice a second. Files that are mapped
    do not count: the object store is one, and whose its pages seem to be changes from moment to moment."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak: dict[str, float] = defaultdict(float)
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            for pid in descendants(os.getpid()):
                try:
                    name = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                [own] = [int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Anonymous:")]
                kind = "driver" if pid == os.getpid() else name
                if kind == "driver" or kind.startswith("ray::"):
                    self.peak[kind.removeprefix("ray::")] = max(self.peak[kind.removeprefix("ray::")], own)


def descendants(pid: int) -> list[int]:
    """A process, its children, theirs, and so on: others on the machine may run Ray, too."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for parent in found:
        found += [child for child, own in parents.items() if own == parent]
    return found


def write_table(folder: str, rows: int, distinct: int = 500) -> None:
    """`rows` rows over `distinct` pictures, in files of 1,000."""
    rng = Random(1)
    pictures = []
    for _ in range(distinct):
        scene = scenes.random_scene(rng)
        pictures.append((scenes.encode(scenes.draw(scene, rng), rng), scenes.caption(scene.things)))
    os.makedirs(folder)
    for begin in range(0, rows, 1000):
        part = [pictures[(begin + i) % distinct] for i in range(min(1000, rows - begin))]
        table = pa.table({"image": [image for image, _ in part], "text": [text for _, text in part]})
        pq.write_table(table, f"{folder}/{begin:09d}.parquet")


def measure(table: str) -> None:
    """A row of the table, in this process."""
    values = {"input": {"path": table}, "model": "zoo://scenes", "output": {"path": f"{table}-out", "report": False}}
    started = time.perf_counter()
    with ray_session():
        memory = PeakMemory()
        memory.start()
        summary = run(JobConfig.parse("score", values))
        memory.ended.set()
    whole = time.perf_counter() - started
    peaks = [
        max((mib for kind, mib in memory.peak.items() if part in kind), default=0.0)
        for part in ("driver", "ReadTable", "PredictActor", "Write")
    ]
    print(
        f"| {summary.rows_in:,} | {summary.rows_in / whole:.0f} | {summary.pairs_per_second:.0f} | "
        + " | ".join(f"{p:.0f}" for p in peaks)
        + " |",
        flush=True,
    )


def main(sizes: list[int]) -> None:
    print(f"{machine.describe()}\n")
    print("| rows | pairs/s, start included | without | peak MiB: driver | reading | actor | write |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_table(f"{folder}/table", rows)
            subprocess.run([sys.executable, "-m", "benchmarks.scale", "--table", f"{folder}/table"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--table", help="measure this one alone")
    given = parser.parse_args()
    if given.table:
        measure(given.table)
    else:
        main(given.rows)
