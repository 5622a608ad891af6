"""Measure the micro-batches a second that one driver moves, beside bare Ray Data: `python -m benchmarks.dispatch`.

Reading, preprocessing and the model are stubs that take no time; the flow is the job's own: its read tasks, its
options of Ray Data, its pool of actors, a sink that writes nothing. Bare Ray Data has a source, a pool and a sink of
the same sizes. In the last columns several micro-batches share a block (`batch.block_bytes`). Time counts from
when all actors are there to the last micro-batch: what they import is a cost of starts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
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
from benchmarks.cores import WORKERS, Cores
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
KINDS = ("driver", "workers", "ray")


class Stub:
    """An actor without a model: a micro-batch in; out, which actor it is and when it was there."""

    def __init__(self, **_: Any) -> None:
        self.name = uuid.uuid4().hex

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return the actor and the time."""
        del batch
        return pa.table({"actor": [self.name], "at": [time.time()]})


class Times(Datasink[list[tuple[str, float]]]):
    """A sink that keeps when each micro-batch was there."""

    def write(self, blocks: Iterable[Block], ctx: object) -> list[tuple[str, float]]:
        """Return actor and time of the blocks of one task."""
        del ctx
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        return [(row["actor"], row["at"]) for table in tables for row in table.to_pylist()]

    @property
    def min_rows_per_write(self) -> int:
        """Return the rows that a write task waits for, as the job's sink does."""
        return ROWS_PER_FILE

    def on_write_complete(self, write_result: WriteResult[list[tuple[str, float]]]) -> None:
        """Find the time from which all actors are there, and what was done since."""
        seen = [one for some in write_result.write_returns for one in some]
        begins: dict[str, float] = {}
        for actor, at in seen:
            begins[actor] = min(at, begins.get(actor, at))
        self.count, self.first, self.last = len(seen), max(begins.values()), max(at for _, at in seen)
        self.timed = sum(at > self.first for _, at in seen)


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


@dataclass(frozen=True)
class Cost:
    """What a flow has cost.

    Attributes:
        rate: Micro-batches a second.
        cpu: Milliseconds of CPU time a micro-batch, by kind of process.
    """

    rate: float
    cpu: Mapping[str, float]

    @property
    def total(self) -> float:
        """Return the CPU milliseconds a micro-batch of the driver and the workers, without Ray's daemons."""
        return self.cpu["driver"] + self.cpu["workers"]


def cost_of(sink: Times, cores: Cores) -> Cost:
    """Return what a flow has cost from the first micro-batch of the actor that came last to the last of all."""
    cpu = cores.between(sink.first, sink.last)
    cpu["workers"] = sum(cpu[kind] for kind in WORKERS)
    return Cost(sink.timed / (sink.last - sink.first), {kind: 1000 * cpu[kind] / sink.timed for kind in KINDS})


def job_flow(config: JobConfig, pool: Pool, together: int = 1) -> Cost:
    """Return the cost of the job's flow. together: how many micro-batches go to an actor in one block."""
    if together > 1:
        batch = config.batch.model_copy(update={"block_bytes": together * len(PAYLOAD)})
        config = config.model_copy(update={"batch": batch})
    table, sink = open_table(config), Times()
    with dataflow.data_context(config), Cores() as cores:
        dataset = read(table, config, RowSet.none(), of_windows)
        dataflow.predict(dataset, config, pool).write_datasink(sink, ray_remote_args={"num_cpus": 0})
    assert sink.count == table.rows // WINDOW_ROWS * PER_WINDOW
    return cost_of(sink, cores)


def bare_flow(config: JobConfig, tasks: int, per_task: int, actors: int) -> Cost:
    """Return the cost of Ray Data alone, with the job's block size."""
    sink = Times()
    with dataflow.data_context(config), Cores() as cores:
        dataset = ray.data.read_datasource(Bare(tasks, per_task), override_num_blocks=tasks)
        pool = ray.data.ActorPoolStrategy(size=actors)
        results = dataset.map_batches(
            Stub, batch_size=1, batch_format="pyarrow", compute=pool, num_cpus=1, memory=2**30
        )
        results.write_datasink(sink, ray_remote_args={"num_cpus": 0})
    return cost_of(sink, cores)


def print_medians(costs: Mapping[str, Sequence[Cost]]) -> None:
    """Print the median of each flow with its least and most, and the job's flow beside bare Ray Data."""
    print("\n| | micro-batches/s | CPU ms a micro-batch, driver and workers |\n| --- | --- | --- |")
    for name, some in costs.items():
        rates, totals = [cost.rate for cost in some], [cost.total for cost in some]
        print(f"| {name} | {spread(rates, 0)} | {spread(totals, 1)} |")
    ours, bare = costs["the job's flow"], costs["bare Ray Data"]
    of_rates = median(one.rate for one in ours) / median(one.rate for one in bare)
    of_cpu = median(one.total for one in bare) / median(one.total for one in ours)
    print(f"\nof bare Ray Data: {of_rates:.2f} by the clock, {of_cpu:.2f} by CPU time")


def spread(values: Sequence[float], digits: int) -> str:
    """Return "median (least to most)"."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


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
        print("| turn | | micro-batches/s | CPU ms a micro-batch: driver | workers | Ray's daemons |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        flows: dict[str, Callable[[], Cost]] = {
            "the job's flow": partial(job_flow, config, pool),
            "bare Ray Data": partial(bare_flow, config, tasks, per_task, actors),
            **{f"the job's, {count} a block": partial(job_flow, config, pool, count) for count in together},
        }
        costs: dict[str, list[Cost]] = {name: [] for name in flows}
        for turn in range(turns + 1):
            names = (
                list(flows) if turn % 2 else list(flows)[::-1]
            )  # what comes later finds a busier or a warmer machine
            for name in names:
                with patch.object(dataflow, "PredictActor", Stub):
                    cost = flows[name]()
                if turn:  # in the first, workers import what they need
                    costs[name].append(cost)
                cells = " | ".join(f"{cost.cpu[kind]:.1f}" for kind in KINDS)
                print(f"| {turn or 'warm-up'} | {name} | {cost.rate:.0f} | {cells} |", flush=True)
        print_medians(costs)
        ray.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument("--together", type=int, nargs="*", default=[8, 32], help="micro-batches of a block")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    main(given.tasks, given.actors, given.turns, given.together)
