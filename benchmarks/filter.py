"""Deciding which rows stay, by score, of tables of two sizes: time and peak memory: `python -m benchmarks.filter`.

Scores of `rows` rows in files of a million, three groups, half of them kept; no row is copied. Each size runs in a
process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.filter import KeepConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.selection import Selection
from pipeline.results.reader import open_results
from pipeline.tables.datasource import row_hashes

FILE_ROWS, WINDOW = 1_000_000, 2**17


def write_scores(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    for begin in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - begin)
        table = pa.table(
            {
                "row_id": row_hashes("table.parquet", np.arange(begin, begin + count)),
                "score": rng.normal(size=count).astype(np.float32),
                "source": rng.choice(["coco", "laion", "wit"], count),
                "error": pa.nulls(count, pa.string()),
            }
        )
        pq.write_table(table, folder / f"part-{begin:012d}.parquet", compression="zstd")


def table_rows(rows: int) -> Iterator[pa.Table]:
    for begin in range(0, rows, WINDOW):
        places = np.arange(begin, min(rows, begin + WINDOW))
        yield pa.table({"__row_key": places, "row_id": row_hashes("table.parquet", places)})


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def select(folder: str, rows: int) -> None:
    """One size; prints its line."""
    before, times = peak_mib(), [time.perf_counter()]
    with Selection() as selection:
        selection.add_rows(table_rows(rows))
        times.append(time.perf_counter())
        selection.decide(KeepConfig(top=0.5, by="source"), open_results(folder, "scores", StorageConfig()))
        times.append(time.perf_counter())
        kept = sum(len(selection.verdicts(begin, begin + WINDOW).keys) for begin in range(0, rows, WINDOW))
        times.append(time.perf_counter())
    ids, judge, read = np.diff(times)
    print(
        f"| {rows:,} | {kept:,} | {ids:.1f} | {judge:.1f} | {read:.1f} | {before:.0f} | {peak_mib():.0f} |", flush=True
    )


def main(sizes: list[int]) -> None:
    print("| rows | kept | seconds: row ids | decide | read | peak MiB before | at the end |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_scores(Path(folder), rows)
            command = f"from benchmarks.filter import select; select({folder!r}, {rows})"
            subprocess.run([sys.executable, "-c", command], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    main(parser.parse_args().rows)
