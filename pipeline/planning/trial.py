"""A trial: a sample of a job's rows through the job's own flow, with its results measured and thrown away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import Datasink, WriteResult

from pipeline.common.columns import ERROR, without_hidden
from pipeline.monitoring.error_budget import end_actors, start_monitor
from pipeline.monitoring.metrics import Meter
from pipeline.monitoring.progress_reporter import quiet, without_echoes
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.planning.estimate import Stage
from pipeline.planning.sampling import Sample
from pipeline.planning.timings import Timings
from pipeline.scoring.dataflow import Run, data_context, predict, read_micro_batches
from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocessors import preprocessor_of
from vilt.processing.grids import Grid

if TYPE_CHECKING:
    from pipeline.common.ray_compat import TaskContext


@dataclass(frozen=True)
class Measured:
    """The outcome of some rows: one file's worth, or, without the model, one block of micro-batches.

    Attributes:
        batches: The figures of their micro-batches.
        pairs: Rows of the output.
        rejected: Error code -> rows of the output.
        output_bytes: Size as Parquet.
        write_seconds: Time to make the Parquet file.
    """

    batches: list[BatchStats]
    pairs: int
    rejected: Counter[str]
    output_bytes: int = 0
    write_seconds: float = 0.0

    @property
    def input_rows(self) -> int:
        """Return the rows of the input."""
        return sum(batch.input_rows for batch in self.batches)


class MeasuringSink(Datasink[Measured | None]):
    """Makes each file of results in memory, measures it, and drops it.

    Attributes:
        measured: What every write task measured, once all are done.
    """

    def __init__(self, rows_per_file: int) -> None:
        """Measure files of so many rows."""
        self.rows_per_file = rows_per_file
        self.measured: list[Measured] = []

    @property
    def min_rows_per_write(self) -> int | None:
        """Return the rows that a write task waits for."""
        return self.rows_per_file

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> Measured | None:
        """Measure the blocks of one write task."""
        del ctx
        tables = [table for block in blocks if (table := BlockAccessor.for_block(block).to_arrow()).num_rows]
        if not tables:
            return None
        clock, out = Stopwatch(), pa.BufferOutputStream()
        pq.write_table(pa.concat_tables([without_hidden(table) for table in tables]), out, compression="zstd")
        return Measured(
            BatchStats.read(tables),
            sum(table.num_rows for table in tables),
            Counter(error for table in tables for error in table[ERROR].drop_null().to_pylist()),
            output_bytes=out.getvalue().size,
            write_seconds=clock.lap(),
        )

    def on_write_complete(self, write_result: WriteResult[Measured | None]) -> None:
        """Keep what the tasks measured."""
        self.measured = [measured for measured in write_result.write_returns if measured is not None]


@dataclass
class Trial:
    """The outcome of the sample.

    Attributes:
        rows: Rows of the input.
        pairs: Rows of the output.
        rejected: Error code -> rows of the output.
        grids: Patch grid -> images that were decoded, counted in each micro-batch.
        image_bytes: int64, encoded size of each image.
        tokens: int64, tokens of each pair that the model read.
        micro_batches: Micro-batches with pairs.
        capacity: Tokens that these could have held.
        timings: Seconds of each stage, micro-batch by micro-batch.
        start_seconds: From the start of the flow to the model's first micro-batch.
        output_bytes: Size of the output as Parquet.
        precision: As "float32 on cpu"; empty if the model was not run.
    """

    rows: int
    pairs: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    grids: Counter[Grid] = field(default_factory=Counter)
    image_bytes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    tokens: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    micro_batches: int = 0
    capacity: int = 0
    timings: dict[Stage, Timings] = field(default_factory=dict)
    start_seconds: float = 0.0
    output_bytes: int = 0
    precision: str = ""

    @property
    def batch_fill(self) -> float:
        """Return how full the micro-batches were, 0 to 1."""
        return float(self.tokens.sum() / self.capacity) if self.capacity else 0.0


def try_out(run: Run, sample: Sample, with_model: bool = True) -> Trial:
    """Run a sample through the job's flow on the running Ray, and measure it.

    Args:
        run: The job and its actors.
        sample: Its rows.
        with_model: False only reads and preprocesses the rows.
    """
    monitor = start_monitor(1.0, 0, 0, {})  # a trial has no error budget
    watch = Watch(monitor, Meter("plan", run.run_id))
    started = time.time()
    try:
        with quiet(), without_echoes(), data_context(run.job.config):
            micro_batches = read_micro_batches(run, sample.others, watch)
            if with_model:
                sink = MeasuringSink(run.pool.rows_per_file)
                job = run.job
                predict(micro_batches, job.config, run.pool, watch, job).write_datasink(
                    sink, ray_remote_args={"num_cpus": 0}
                )
                measured = sink.measured
            else:
                measured = list(_measure_unpredicted(micro_batches, run))
    finally:
        end_actors(monitor)
    return _summarise(measured, run, sample, started if with_model else None)


def _measure_unpredicted(micro_batches: ray.data.Dataset, run: Run) -> Iterator[Measured]:
    """Measure micro-batches that no model has read."""
    layout = preprocessor_of(run.job.config).rows
    for block in micro_batches.iter_batches(batch_size=None, batch_format="pyarrow"):
        for batch in MicroBatch.from_arrow(block, layout):
            errors = Counter(error for error in batch.rows[ERROR].to_pylist() if error)
            yield Measured([BatchStats.of(batch)], batch.rows.num_rows, errors)


def _summarise(measured: list[Measured], run: Run, sample: Sample, started: float | None) -> Trial:
    batches = sorted((batch for one in measured for batch in one.batches), key=lambda batch: batch.began)
    with_pairs = [batch for batch in batches if batch.pairs]
    rows = sum(batch.input_rows for batch in batches)
    trial = Trial(
        rows=rows,
        pairs=sum(one.pairs for one in measured),
        rejected=sum((one.rejected for one in measured), Counter[str]()),
        grids=Counter(Grid(*map(int, grid.split("x"))) for batch in batches for grid in batch.grids),
        image_bytes=np.array([size for batch in batches for size in batch.image_bytes], np.int64),
        tokens=np.array([tokens for batch in batches for tokens in batch.pair_tokens], np.int64),
        micro_batches=len(with_pairs),
        capacity=len(with_pairs) * run.pool.tokens,
        output_bytes=sum(one.output_bytes for one in measured),
    )
    read_more = sample.rows_read / max(1, len(sample.rows))  # rows that are read for each row of the sample
    trial.timings = {
        "reading": Timings.of((batch.input_rows, batch.reading / read_more) for batch in batches),
        "fetching": Timings.of((batch.input_rows, batch.fetching) for batch in batches),
        "decoding": Timings.of((batch.input_rows, batch.decoding) for batch in batches),
    }
    if started is not None and batches:
        warm = batches[1:] or batches  # the first micro-batch of an actor prepares its kernels
        trial.timings["model"] = Timings.of((batch.input_rows, batch.seconds) for batch in warm)
        trial.timings["writing"] = Timings.of((one.input_rows, one.write_seconds) for one in measured)
        trial.start_seconds = batches[0].began - started
        trial.precision = f"{batches[0].precision} on {batches[0].device}"
    return trial
