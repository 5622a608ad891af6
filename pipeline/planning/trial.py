"""A sample of a job's rows through the job's own stages, one after the other in this process, each of them timed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cluster.actor_pool import Pool
from pipeline.common.columns import ERROR, PLACE, STATS, without_hidden
from pipeline.config.job import JobConfig
from pipeline.planning.estimate import Stage
from pipeline.planning.together import time_together
from pipeline.stages.checkpoints import Models, preprocessor_of
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.predict import ViltActor
from pipeline.stages.preprocess import Settings, images_of_rows, micro_batches
from pipeline.tables.sampling import Sample, Timed
from pipeline.tables.table import InputTable
from vilt.processing.grids import Grid

WARM_UP_ROWS = 8
KEPT_BYTES = 2**28  # of micro-batches, for the model to read again


@dataclass
class Trial:
    """What the sample showed.

    rows: of the input. pairs: rows of the output. rejected: reason -> rows of the output. grids: of the images that
    were decoded, each micro-batch's own. image_bytes, tokens: int64, of each image and each pair that the model read.
    micro_batches, capacity: their number, and the tokens that they could have held.
    timed: see `pipeline.planning.estimate`.
    Where the model was run: import_seconds, load_seconds: of a new process that imports all that an actor needs, and of
    the model's loading; output_bytes: of the output as Parquet; precision: as "float32 on cpu".
    """

    rows: int
    pairs: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    grids: Counter[Grid] = field(default_factory=Counter)
    image_bytes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    tokens: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    micro_batches: int = 0
    capacity: int = 0
    import_seconds: float = 0.0
    load_seconds: float = 0.0
    output_bytes: int = 0
    timed: dict[Stage, Timed] = field(default_factory=dict)
    precision: str = ""

    @property
    def batch_fill(self) -> float:
        """0 to 1."""
        return float(self.tokens.sum() / self.capacity) if self.capacity else 0.0


@dataclass
class _Clock:
    """Pieces of work: (rows, seconds) of each stage."""

    seen: dict[Stage, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, stage: Stage, rows: int, since: float) -> None:
        self.seen.setdefault(stage, []).append((rows, time.perf_counter() - since))


def try_out(
    sample: Sample,
    table: InputTable,
    config: JobConfig,
    models: Models,
    pool: Pool,
    with_model: bool = True,
    beside: int = 0,
) -> Trial:
    """Fetch, decode, predict and write the sample. Decoding runs on one core, the model on `pool.cpus` threads; both
    do a first piece of work once more beforehand, to warm up. with_model: whether to predict and
    write. beside: the processes that decode on the cores that the model uses, too; with any, the seconds of both are
    those while both go on.
    """
    settings = Settings(config, table.base, table.columns, pool.tokens, models.images)
    trial, clock = Trial(sample.rows.num_rows), _Clock()
    actor = None
    if with_model:
        trial.import_seconds = _import_seconds()
        since = time.perf_counter()
        actor = ViltActor(config, pool.cpus)
        trial.load_seconds = time.perf_counter() - since
    image_rows = preprocessor_of(config).rows
    sizes: list[int] = []
    lengths: list[np.ndarray] = []
    out: list[pa.Table] = []
    kept: list[tuple[int, pa.Table]] = []
    _decode(sample.rows.slice(0, WARM_UP_ROWS), settings)
    for window in sample.windows(config.batch.window_rows):
        since = time.perf_counter()
        fetched = images_of_rows(window, settings)
        clock.add("fetching", window.num_rows, since)
        sizes += [len(image) for row in fetched for image in row if isinstance(image, bytes)]
        for batch, seconds in _timed_each(micro_batches(window, fetched, settings)):
            [decoded] = MicroBatch.from_arrow(batch, image_rows)
            rows = len(set(decoded.rows[PLACE].to_pylist()))
            clock.seen.setdefault("decoding", []).append((rows, seconds))
            lengths.append(decoded.pairs.lengths if len(decoded.pairs) else np.empty(0, np.int64))
            trial.grids.update(decoded.pairs.grids)
            if len(decoded.pairs):
                trial.micro_batches += 1
            if actor is None:
                out.append(decoded.rows.select([ERROR]))
                continue
            if not out:
                actor(batch)
            since = time.perf_counter()
            out.append(actor(batch))
            clock.add("model", rows, since)
            if sum(table.nbytes for _, table in kept) + batch.nbytes < KEPT_BYTES or not kept:
                kept.append((rows, batch))
    trial.capacity = trial.micro_batches * pool.tokens
    trial.image_bytes, trial.tokens = np.array(sizes, np.int64), np.concatenate([np.empty(0, np.int64), *lengths])
    results = pa.concat_tables(out)
    trial.pairs = results.num_rows
    trial.rejected = Counter(error for error in results[ERROR].to_pylist() if error)
    if actor is not None:
        since = time.perf_counter()
        sink = pa.BufferOutputStream()
        pq.write_table(without_hidden(results), sink, compression="zstd")
        trial.output_bytes = sink.getvalue().size
        clock.add("writing", trial.rows, since)
        stats = next(value for value in results[STATS].to_pylist() if value)
        trial.precision = f"{stats['precision']} on {stats['device']}"
    trial.timed = {"reading": sample.reading, **{stage: Timed.of(seen) for stage, seen in clock.seen.items()}}
    if actor is not None and beside:
        decoding, model = time_together(actor, kept, sample.rows, settings, image_rows, beside)
        trial.timed |= {"decoding": decoding, "model": model}
    return trial


def _decode(rows: pa.Table, settings: Settings) -> None:
    for _ in micro_batches(rows, images_of_rows(rows, settings), settings):
        pass


def _timed_each(tables: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, float]]:
    """Each with the seconds that it took to come."""
    while True:
        since = time.perf_counter()
        table = next(tables, None)
        if table is None:
            return
        yield table, time.perf_counter() - since


def _import_seconds() -> float:
    """Of a new process that imports what an actor needs."""
    since = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import ray.data, pipeline.stages.predict"], check=True, capture_output=True)
    return time.perf_counter() - since
