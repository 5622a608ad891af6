"""The stages of a job, composed on Ray Data: read and preprocess, predict, write."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import ray
import ray.data
import ray.exceptions
from ray.data.datasource import Datasink

from pipeline.cluster.actor_pool import Pool, fit_pool, plan_pool
from pipeline.cluster.node_changes import nodes_watched
from pipeline.cluster.nodes import running_nodes
from pipeline.cluster.path_checks import check_reach, local_paths, other_machines, with_absolute_models
from pipeline.cluster.session import is_local_ray
from pipeline.common.columns import ROW_HASH, without_hidden
from pipeline.common.errors import ConfigError, TooManyErrorsError
from pipeline.common.one_machine import without_cluster_actors
from pipeline.common.row_ranges import RowSet
from pipeline.config.job import JobConfig
from pipeline.monitoring.error_budget import end_actors, start_monitor
from pipeline.monitoring.events import emit_started
from pipeline.monitoring.metrics import Meter
from pipeline.monitoring.progress_reporter import Goal, reported, without_echoes
from pipeline.monitoring.stage_timing import Watch
from pipeline.results.file_footer import ResultFile, done_rows
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.result_parts import StagedParts
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.checkpoints import check_models, cpu_precision, fit_inputs, open_checkpoints
from pipeline.stages.predict import PredictActor
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.column_checks import check_columns
from pipeline.tables.reading import read

BLOCK_BYTES_WITH_IMAGES = 2**22  # at least, of results that carry their images
ACTOR_MEMORY = 2**30  # bytes; reserving it also keeps Ray from fusing the actors with the stage before them


@dataclass(frozen=True)
class Run:
    """One run of a job on the running Ray.

    Attributes:
        job: The job, whose checkpoints have absolute paths.
        pool: The actors.
        run_id: The id of the run, as in file names and metrics.
    """

    job: PreparedJob
    pool: Pool
    run_id: str

    @property
    def full_batch_tokens(self) -> int:
        """Return the tokens of a full micro-batch; 0 for a rank job, whose images are read with many texts."""
        return 0 if self.job.texts else self.pool.tokens


def plan_run(job: PreparedJob, output_uri: str) -> Run:
    """Size the actor pool and check that every node can read and write the job's paths.

    Args:
        job: The job.
        output_uri: Where the workers write.

    Raises:
        ConfigError: The actors do not fit, a precision is not available, or a node cannot reach a path.
    """
    config, nodes = job.config, running_nodes()
    pool = fit_pool(config, nodes, len(job.texts.ids) if job.texts else 1)
    others = other_machines(nodes.now)
    check_reach(local_paths(config, job.table.base, output_uri), others)
    if not pool.gpus and not others:  # decided once, for all actors: "auto" measures
        config = config.model_copy(update={"precision": cpu_precision(config)})
    run_id = time.strftime("%Y%m%dT%H%M%S-") + uuid.uuid4().hex[:6]
    job = PreparedJob(with_absolute_models(config), job.table, job.models, job.texts)
    return Run(job, pool, run_id)


def score_rows(
    job: PreparedJob,
    staged: StagedParts,
    before: ResultFile,
    log_every: float,
    types: Mapping[str, pa.DataType] | None = None,
) -> list[ResultFile]:
    """Score the rows of the input that are not done, and write them as part files.

    Args:
        job: The job.
        staged: Where the files go, and which rows are done.
        before: Counts of what earlier runs of the job wrote.
        log_every: Seconds between two `progress` events.
        types: Column types of a Delta table.

    Returns:
        The files that were written.

    Raises:
        ConfigError: See `plan_run`.
        TooManyErrorsError: More rows are rejected than `max_error_rate` allows.
    """
    run = plan_run(job, staged.uri)
    config, done = run.job.config, staged.done
    with watched(run, len(done), before, log_every) as watch:
        sink = ParquetSink(
            staged.filesystem,
            staged.folder,
            run.run_id,
            lineage={**job.table.metadata, **job.models.lineage},
            full_batch_tokens=run.full_batch_tokens,
            rows_per_file=None if config.output.keep_image else run.pool.rows_per_file,
            types=types,
            watch=watch,
            keep_row_keys=config.in_input_order,
        )
        write(run, done, sink, watch)
        staged.repeated_rows += _repeated(watch, len(done) + len(done_rows(sink.parts)))
    return sink.parts


def _repeated(watch: Watch, rows: int) -> int:
    """Return how many rows actors have scored beyond those of the job, as many again after nodes or actors were lost.

    Args:
        watch: Of the run.
        rows: Rows that the job has done.
    """
    try:
        return max(0, ray.get(watch.monitor.counts.remote()).rows - rows)
    except ray.exceptions.RayError:  # the monitor is lost, which the job need not be
        return 0


def write(run: Run, done: RowSet, sink: Datasink, watch: Watch) -> None:
    """Read, preprocess and predict the rows that are not done, and write them to a sink."""
    with data_context(run.job.config):
        results = predict(read_micro_batches(run, done, watch), run.job.config, run.pool, watch, run.job)
        # Writing waits for storage, not for a core: a file is there as soon as its rows are.
        results.write_datasink(sink, ray_remote_args={"num_cpus": 0})


def read_micro_batches(run: Run, done: RowSet, watch: Watch) -> ray.data.Dataset:
    """Return the micro-batches of the rows of the input that are not done, one Arrow row each."""
    job = run.job
    preprocess = Preprocess(job.config, job.table.base, job.table.columns, run.pool.tokens, job.models.images, watch)
    return read(job.table, job.config, done, preprocess, run.pool.decode_on)


def predict(
    micro_batches: ray.data.Dataset,
    config: JobConfig,
    pool: Pool,
    watch: Watch | None = None,
    job: PreparedJob | None = None,
) -> ray.data.Dataset:
    """Return the rows of micro-batches with their results.

    Args:
        micro_batches: See `read_micro_batches`.
        config: The job's config.
        pool: The actors.
        watch: Where counts and timings are reported; None reports nothing.
        job: The job, if it was prepared: its texts, and the weights that it is of.
    """
    shared_texts = ray.put(job.texts) if job and job.texts else None
    weights = [*job.models.weights.values()] if job else None
    return micro_batches.map_batches(
        PredictActor,
        fn_constructor_kwargs={
            "config": config,
            "threads": pool.threads,
            "watch": watch,
            "texts": shared_texts,
            "weights": weights,
        },
        batch_size=1,
        batch_format="pyarrow",
        compute=pool.strategy,
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        memory=ACTOR_MEMORY,
    )


@contextmanager
def watched(run: Run, rows_done: int, before: ResultFile, log_every: float) -> Iterator[Watch]:
    """Count and report a run while it is open: metrics, events, and the error budget.

    Args:
        run: The run.
        rows_done: Rows of the input that earlier runs have done.
        before: Counts of what earlier runs wrote.
        log_every: Seconds between two `progress` events.

    Raises:
        TooManyErrorsError: More rows are rejected than `max_error_rate` allows.
    """
    job, config = run.job, run.job.config
    monitor = start_monitor(config.max_error_rate, rows_done, before.rows, dict(before.errors))
    watch = Watch(monitor, Meter("+".join(config.tasks), run.run_id), run.full_batch_tokens)
    goal = Goal(job.table.rows, job.texts.pairs(job.table.rows) - before.pairs if job.texts else None)
    try:
        emit_started(config, run.run_id, job.table.rows, rows_done, run.pool.count)
        with without_echoes(), reported(watch, goal, log_every):
            yield watch
    except ray.exceptions.RayError:
        verdict = ray.get(monitor.verdict.remote())
        if verdict:
            raise TooManyErrorsError(verdict) from None
        raise
    finally:
        end_actors(monitor)


@contextmanager
def data_context(config: JobConfig) -> Iterator[None]:
    """Set Ray Data's options for the flow while it is open, and restore the caller's."""
    context = ray.data.DataContext.get_current()
    ours = (
        "actor_init_retry_on_errors",
        "raise_original_map_exception",
        "target_max_block_size",
        "issue_detectors_config",
    )
    saved = {name: getattr(context, name) for name in ours}
    context.actor_init_retry_on_errors = True
    # Its advice is for who writes the flow: an actor of ViLT-B/32 is near the memory that it reserves, as planned.
    context.issue_detectors_config = replace(context.issue_detectors_config, detectors=[])
    context.raise_original_map_exception = True  # so that a fault that an actor names keeps its type
    least = BLOCK_BYTES_WITH_IMAGES if config.output.keep_image else 0
    context.target_max_block_size = max(least, config.batch.block_bytes)
    try:
        with without_cluster_actors() if is_local_ray() else nodes_watched():
            yield
    finally:
        for name, value in saved.items():
            setattr(context, name, value)


def build_processor(config: JobConfig) -> Callable[[ray.data.Dataset], ray.data.Dataset]:
    """Return the job as a step for a Ray Data graph: a Dataset of images and texts -> the same rows with results.

    Ray must be running. The Dataset has the columns that `config.input` names; without `input.id` it must also have
    `row_hash`, as `ray.data.read_parquet(..., include_row_hash=True)` gives it. `config.input.path` is only the folder
    to which relative image URIs are relative; `config.output.path` is not used.

    Raises:
        ConfigError: The config does not fit the checkpoint, or, when called, the Dataset.
    """
    if config.input.shard is not None:
        raise ConfigError("input.shard: the step reads whatever Dataset it is given: leave the key out")
    checkpoints = open_checkpoints(config)
    config = fit_inputs(config, checkpoints)
    models = check_models(config, checkpoints)

    def process(dataset: ray.data.Dataset) -> ray.data.Dataset:
        schema = dataset.schema().base_schema
        if not isinstance(schema, pa.Schema):  # of blocks of pandas: what their first rows are in Arrow
            schema = dataset.take_batch(config.batch.window_rows, batch_format="pyarrow").schema
        if config.input.id is None and ROW_HASH not in schema.names:
            raise ConfigError(f"input.id: missing, and the dataset has no column {ROW_HASH!r} to make row ids from")
        pool = plan_pool(config)
        preprocess = Preprocess(config, config.input.path, check_columns(schema, config), pool.tokens, models.images)
        micro_batches = dataset.map_batches(
            preprocess.map_batch,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            label_selector=pool.decode_on,
        )
        return predict(micro_batches, config, pool).map_batches(without_hidden, batch_format="pyarrow")

    return process
