"""Open a table of a million files in a store of 30 ms a request: `python -m benchmarks.million_files`.

The driver lists the table, reads all footers in Ray tasks, and plans the read tasks; then once more with the manifest,
as a job does that resumes. Each run is a process of its own; `peak` is by how much its memory grows; CPU seconds are
of the time in which files are listed, opened and planned. Ray claims
`--workers` cores: what is measured is how many requests are in flight, not what the cores can do; each footer also
costs half a millisecond of CPU time.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ray

from benchmarks import machine, slow_store
from benchmarks.cores import Cores
from benchmarks.delta_log import write_log
from pipeline import JobConfig
from pipeline.cluster.session import start_local
from pipeline.common.row_ranges import RowSet
from pipeline.tables.datasource import TableSource
from pipeline.tables.formats.parquet.many_footers import IN_FLIGHT
from pipeline.tables.reading import read_plan
from pipeline.tables.table import list_table, open_table

LAYOUTS = "folders of a thousand, one folder, or a Delta table with a log on this machine"
REQUESTS = 1  # of a footer: its end; the listing says its size


def measure(files: int, workers: int, seconds: float, out: str, layout: str) -> None:
    """List, open and plan in this process, and print what that took as a part of a row of the table."""
    slow_store.register(files, seconds)
    path = str(Path(out, "table")) if layout == "delta" else f"slow://{layout}"
    values = {
        "input": {"path": path, "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": f"{out}/out", "report": False},
    }
    config = JobConfig.parse("score", values)
    start_local(workers)
    cores = Cores()
    with cores:
        before, begin, opens = peak(), time.perf_counter(), time.time()
        row = steps(config, layout, files, begin)
        grown, ends = (peak() - before) / 2**20, time.time()
    cpu = cores.between(opens, ends)
    driver = cpu.pop("driver", 0.0)
    ray.shutdown()
    print(f" {row} | {driver:.0f} | {cpu.total():.0f} | {grown:.0f} |")


def steps(config: JobConfig, layout: str, files: int, begin: float) -> str:
    """Return the seconds of each step since `begin` and the number of read tasks, as cells of the table."""
    listing = list_table(config.input, config.storage)
    if layout == "delta":  # whose log is here, and whose files are in the store
        listing = replace(listing, filesystem=slow_store.SlowStore())
    listed = time.perf_counter()
    table = open_table(config, listing)
    assert (table.rows, len(table.fingerprint)) == (files * slow_store.ROWS, 64)
    opened = time.perf_counter()
    tasks = TableSource(table.unread(RowSet.none()), read_plan(table, 512), lambda window: iter([window])).tasks
    planned = time.perf_counter()
    return f"{listed - begin:.1f} | {opened - listed:.1f} | {planned - opened:.1f} | {len(tasks):,}"


def peak() -> int:
    """Return the bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(sizes: list[int], workers: int, seconds: float, layout: str) -> None:
    """Print the table."""
    print(f"{machine.describe()}; {seconds * 1000:.0f} ms a request, {workers} workers x {IN_FLIGHT} in flight\n")
    print(
        "| files | run | if requests alone took time, s | s to list | s to open | s to plan | read tasks "
        "| CPU s, driver | CPU s, workers and Ray | peak, MiB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for files in sizes:
        with tempfile.TemporaryDirectory() as out:
            if layout == "delta":
                write_log(Path(out, "table"), files, len(slow_store.content()))
            for run, requests in (("first", REQUESTS * files), ("resumed", 0)):
                print(f"| {files:,} | {run} | {requests * seconds / workers / IN_FLIGHT:.1f} |", end="", flush=True)
                command = [sys.executable, "-m", "benchmarks.million_files", "--measure", str(files), "--out", out]
                command += ["--layout", layout]
                subprocess.run([*command, "--workers", str(workers), "--seconds", str(seconds)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 20_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.03, help="of a request")
    parser.add_argument("--layout", choices=["table", "flat", "delta"], default="table", help=LAYOUTS)
    parser.add_argument("--measure", type=int, help="this size alone, in this process")
    parser.add_argument("--out", default="", help="folder of the manifest")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.workers, given.seconds, given.out, given.layout)
    else:
        main(given.files, given.workers, given.seconds, given.layout)
