"""Measure the micro-batches a second that one driver moves, beside bare Ray Data: `python -m benchmarks.dispatch`.

Reading, preprocessing and the model are stubs that take no time; the flow is the job's own: its read tasks, its
options of Ray Data, its pool of actors, a sink that writes nothing. Bare Ray Data has a source, a pool and a sink of
the same sizes. In the last columns several micro-batches share a block (`batch.block_bytes`). Time counts from the
first micro-batch that any actor takes to the last.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data.block import Block, BlockAccessor, BlockMetadata
from ray.data.datasource.datasink import Datasink, WriteResult
from ray.data.datasource.datasource import Datasource, ReadTask

from benchmarks import machine
from pipeline import JobConfig
from pipeline.cluster.actor_pool import Pool
from pipeline.cluster.session import start_local
from pipeline.common.row_ranges import RowSet
from pipeline.scoring import dataflow
from pipeline.tables.reading import read
from pipeline.tables.table import open_table

WINDOW_ROWS, PER_WINDOW = 128, 8  # micro-batches of a window
PAYLOAD = b"x" * 100_000  # of a micro-batch: more than `batch.block_bytes` by default
WINDOWS_PER_TASK = 4
ROWS_PER_FILE = 200


class Stub:
    """An actor without a model: a micro-batch in, when it was there out."""

    def __init__(self, **_: Any) -> None:
        pass

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return the time."""
        del batch
        return pa.table({"at": [time.time()]})


class Times(Datasink[tuple[float, float, int]]):
    """A sink that keeps the first time, the last and their number."""

    def write(self, blocks: Iterable[Block], ctx: object) -> tuple[float, float, int]:
        """Return these of the blocks of one task."""
        del ctx
        times = [at for block in blocks for at in BlockAccessor.for_block(block).to_arrow()["at"].to_pylist()]
        return (min(times), max(times), len(times)) if times else (float("inf"), 0.0, 0)

    @property
    def min_rows_per_write(self) -> int:
        """Return the rows that a write task waits for, as the job's sink does."""
        return ROWS_PER_FILE

    def on_write_complete(self, write_result: WriteResult[tuple[float, float, int]]) -> None:
        """Compute the rate."""
        firsts, lasts, counts = zip(*write_result.write_returns, strict=True)
        self.count = sum(counts)
        self.rate = self.count / (max(lasts) - min(firsts))


class Bare(Datasource):
    """Read tasks that yield micro-batches, and read nothing."""

    def __init__(self, tasks: int, per_task: int) -> None:
        super().__init__()
        self.tasks, self.per_task = tasks, per_task

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of all micro-batches."""
        return self.tasks * self.per_task * len(PAYLOAD)

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """Return the read tasks."""
        del parallelism
        known = BlockMetadata(num_rows=None, size_bytes=len(PAYLOAD), input_files=None, exec_stats=None)
        return [ReadTask(partial(micro_batches, self.per_task), known) for _ in range(self.tasks)]


def micro_batches(count: int) -> Iterator[pa.Table]:
    """Yield stubs of micro-batches."""
    for _ in range(count):
        yield pa.table({"payload": [PAYLOAD]})


def of_windows(windows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield stubs of micro-batches of windows of rows."""
    for _ in windows:
        yield from micro_batches(PER_WINDOW)


def job_flow(config: JobConfig, pool: Pool, together: int = 1) -> float:
    """Return micro-batches a second of the job's flow. together: how many go to an actor in one block."""
    if together > 1:
        batch = config.batch.model_copy(update={"block_bytes": together * len(PAYLOAD)})
        config = config.model_copy(update={"batch": batch})
    table, sink = open_table(config), Times()
    with dataflow.data_context(config):
        dataset = read(table, config, RowSet.none(), of_windows)
        dataflow.predict(dataset, config, pool).write_datasink(sink, ray_remote_args={"num_cpus": 0})
    assert sink.count == table.rows // WINDOW_ROWS * PER_WINDOW
    return sink.rate


def bare_flow(config: JobConfig, tasks: int, per_task: int, actors: int) -> float:
    """Return micro-batches a second of Ray Data alone, with the job's block size."""
    sink = Times()
    with dataflow.data_context(config):
        dataset = ray.data.read_datasource(Bare(tasks, per_task), override_num_blocks=tasks)
        pool = ray.data.ActorPoolStrategy(size=actors)
        results = dataset.map_batches(
            Stub, batch_size=1, batch_format="pyarrow", compute=pool, num_cpus=1, memory=2**30
        )
        results.write_datasink(sink, ray_remote_args={"num_cpus": 0})
    return sink.rate


def main(tasks: int, actors: int, turns: int, together: list[int]) -> None:
    """Print the table."""
    rows = tasks * WINDOWS_PER_TASK * WINDOW_ROWS
    per_task = WINDOWS_PER_TASK * PER_WINDOW
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "table").mkdir()
        columns = pa.table({"image": [b"x"] * rows, "text": ["t"] * rows})
        pq.write_table(columns, f"{folder}/table/0.parquet", row_group_size=WINDOW_ROWS * WINDOWS_PER_TASK)
        values = {
            "input": {"path": f"{folder}/table"},
            "model": "zoo://scenes",
            "output": {"path": f"{folder}/out", "report": False},
            "batch": {"window_rows": WINDOW_ROWS},
        }
        config = JobConfig.parse("score", values)
        start_local(actors + 2)
        pool = Pool(count=actors, cpus=1, gpus=0, tokens=0, rows_per_file=ROWS_PER_FILE)
        print(f"{machine.describe()}; {actors} actors, {tasks} read tasks of {per_task} micro-batches\n")
        print("| turn | the job's flow, micro-batches/s | bare Ray Data | share |", end="")
        print("".join(f" {count} a block |" for count in together))
        print("| --- | --- | --- | --- |" + " --- |" * len(together), flush=True)
        for turn in range(turns):
            with patch.object(dataflow, "PredictActor", Stub):
                ours = job_flow(config, pool)
                bare = bare_flow(config, tasks, per_task, actors)
                more = [job_flow(config, pool, count) for count in together]
            print(f"| {turn + 1} | {ours:.0f} | {bare:.0f} | {ours / bare:.2f} |", end="")
            print("".join(f" {rate:.0f} |" for rate in more), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument("--together", type=int, nargs="*", default=[8, 32], help="micro-batches of a block")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    main(given.tasks, given.actors, given.turns, given.together)
