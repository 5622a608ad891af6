"""Publish 100,000 result files in a store of 30 ms a request: `python -m benchmarks.publish`.

The store is a local folder whose every request waits; a copy is two requests (its size, the copy), a removal one for a
thousand names. Beside it, as many files as threads of the driver alone move, one after the other's removal, as before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray

from benchmarks import machine
from benchmarks.slow_store import SlowBucket
from pipeline.cluster.session import start_local
from pipeline.results.moving import IN_FLIGHT, move_files
from pipeline.results.output_folder import OutputFolder

THREADS_BEFORE = 16
REQUESTS_BEFORE = 4  # of s3fs's `mv`: the size, the copy, what there is to remove, the removal
SAMPLE = 2_000


def fill(folder: Path, files: int) -> list[str]:
    """Write so many small files into the work folder of an output; return their names."""
    (folder / "_progress").mkdir(parents=True)
    names = [f"part-{number:06d}.parquet" for number in range(files)]
    for name in names:
        (folder / "_progress" / name).write_bytes(b"x" * 100)
    return names


def publish(store: SlowBucket, folder: Path, names: Sequence[str]) -> float:
    """Publish files by the job's own way; return the seconds."""
    output = OutputFolder(store, str(folder), {"job": "benchmark"})
    with output:
        assert output.begin(overwrite=False) is None
        begin = time.perf_counter()
        output.publish({"identity": output.identity}, names)
        taken = time.perf_counter() - begin
    assert sum(1 for _ in folder.glob("*.parquet")) == len(names)
    return taken


def main(files: int, workers: int, seconds: float) -> None:
    """Print the table."""
    print(f"{machine.describe()}; {seconds * 1000:.0f} ms a request\n")
    print("| way | files | s | for all files, s |\n| --- | --- | --- | --- |", flush=True)
    store = SlowBucket(seconds)

    def show(way: str, count: int, taken: float) -> None:
        print(f"| {way} | {count:,} | {taken:.1f} | {taken * files / count:.0f} |", flush=True)

    def before(name: str) -> None:
        time.sleep((REQUESTS_BEFORE - 2) * seconds)
        store.cp_file(f"{folder}/_progress/{name}", f"{folder}/{name}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "before")
        names, begin = fill(folder, SAMPLE), time.perf_counter()
        with ThreadPoolExecutor(THREADS_BEFORE) as pool:
            list(pool.map(before, names))
        show(f"{THREADS_BEFORE} threads, a copy and a removal each", SAMPLE, time.perf_counter() - begin)
        names, begin = fill(Path(temporary, "threads"), SAMPLE - 1), time.perf_counter()
        move_files(store, [(f"{temporary}/threads/_progress/{name}", f"{temporary}/threads/{name}") for name in names])
        show(f"{IN_FLIGHT} threads, removals together", SAMPLE - 1, time.perf_counter() - begin)
        start_local(workers)
        names = fill(Path(temporary, "tasks"), files)
        taken = publish(store, Path(temporary, "tasks"), names)
        ray.shutdown()
        show(f"{workers} workers x {IN_FLIGHT} threads, plan and summary included", files, taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.03, help="of a request")
    given = parser.parse_args()
    main(given.files, given.workers, given.seconds)
