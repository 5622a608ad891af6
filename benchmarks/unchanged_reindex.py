"""A `vilt reindex` that finds nothing to do, over a million files: `python -m benchmarks.unchanged_reindex`.

The whole command's work, but for the start of Python: the config, the checkpoint, the lock, the listing in a store of
30 ms a request, and the comparison with what the table was made from. The table itself is small: it was made of the
first file, and its list of the input's files is then written as if it had been made of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine, slow_store
from benchmarks.million_files import peak
from pipeline import JobConfig
from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile
from pipeline.reindexing.reindex import reindex
from pipeline.storage.filesystem import open_fsspec
from pipeline.tables.table import list_table


def config_of(out: str) -> JobConfig:
    """Return the job, whose images cannot be decoded."""
    values = {
        "input": {"path": "slow://table", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": out, "format": "delta"},
        "max_error_rate": 1,
        "precision": "float32",
    }
    return JobConfig.parse("score", values)


def make(out: str) -> None:
    """Make the table from one file."""
    slow_store.register(1, 0.0)
    reindex(config_of(out))


def pretend(files: int, out: str) -> None:
    """Write the list of the input's files as if the table had been made from so many."""
    config = config_of(out)
    [path] = Path(out, "_reindex").glob("input-*.parquet")
    filesystem, folder = open_fsspec(out, "output.path", config.storage)
    one = next(iter(InputSnapshot.read(filesystem, str(path)).files.values()))
    slow_store.register(files, 0.0)
    listed = list_table(config.input, config.storage).files
    every = {file.name: SnapshotFile(file.version, one.rows, one.columns) for file in listed}
    InputSnapshot(every).write(filesystem, f"{folder}/_reindex/{path.name}")


def measure(files: int, seconds: float, out: str) -> None:
    """Run the reindex that has nothing to do, and print a row of the table."""
    slow_store.register(files, seconds)
    config = config_of(out)
    before, cpu, begin = peak(), time.process_time(), time.perf_counter()
    done = reindex(config)
    assert not done.new
    taken, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(f"| {files:,} | {taken:.1f} | {cpu:.1f} | {(peak() - before) / 2**20:.0f} |", flush=True)


def main(sizes: list[int], seconds: float) -> None:
    """Print the table; each run is a process of its own."""
    print(f"{machine.describe()}; {seconds * 1000:.0f} ms a request\n")
    print("| files | s | CPU s | peak, MiB |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as out:
        steps = [["--make"], *([how, str(files)] for files in sizes for how in ("--pretend", "--measure"))]
        for step in steps:
            command = [sys.executable, "-m", "benchmarks.unchanged_reindex", *step, "--out", out]
            subprocess.run([*command, "--seconds", str(seconds)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=0.03, help="of a request")
    parser.add_argument("--make", action="store_true", help="make the table, in this process")
    parser.add_argument("--pretend", type=int, help="write the list of so many files, in this process")
    parser.add_argument("--measure", type=int, help="this size alone, in this process")
    parser.add_argument("--out", default="", help="folder of the table")
    given = parser.parse_args()
    if given.make:
        make(given.out)
    elif given.pretend:
        pretend(given.pretend, given.out)
    elif given.measure:
        measure(given.measure, given.seconds, given.out)
    else:
        main(given.files, given.seconds)
