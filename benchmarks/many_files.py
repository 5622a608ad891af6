"""A table of 1,000, 10,000 and 100,000 files: the driver's time and peak memory: `python -m benchmarks.many_files`.

The driver lists the files, reads every footer, and plans the read tasks; each size in a process of its own. The files
are tiny, ten rows each: what is measured is what a file costs, not what is in it.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import machine
from pipeline import JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.tables.datasource import TableSource
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table

ROWS = 10  # of a file


def write_files(folder: str, files: int) -> None:
    content = io.BytesIO()
    columns = {"image": [b"x" * 50] * ROWS, "text": ["a small red star"] * ROWS, "id": list(range(ROWS))}
    pq.write_table(pa.table(columns), content)
    for i in range(files):
        Path(folder, f"{i:06d}.parquet").write_bytes(content.getvalue())


def measure(folder: str) -> None:
    """A row of the table, in this process."""
    values = {
        "input": {"path": folder, "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": f"{folder}-out", "report": False},
    }
    config, before = JobConfig.parse("score", values), peak()
    begin = time.perf_counter()
    table = open_table(config)
    opened = time.perf_counter()
    tasks = TableSource(table.unread(RowSet.none()), read_plan(table, 512), lambda window: iter([window])).tasks
    planned = time.perf_counter()
    grown, files = peak() - before, len(table.files)
    print(
        f"| {files:,} | {opened - begin:.1f} | {planned - opened:.1f} | {len(tasks):,} | {grown / 2**20:.0f} "
        f"| {grown / files:,.0f} |"
    )


def peak() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(sizes: list[int]) -> None:
    print(f"{machine.describe()}\n")
    print("| files | s to list and open | s to plan | read tasks | driver's peak grows by, MiB | bytes a file |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for files in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_files(folder, files)
            subprocess.run([sys.executable, "-m", "benchmarks.many_files", "--folder", folder], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", help="measure this one alone")
    given = parser.parse_args()
    if given.folder:
        measure(given.folder)
    else:
        main(given.files)
