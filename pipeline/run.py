"""Compose the stages, run them, check that no row was lost, and tell what happened."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
import ray.exceptions

from pipeline.config import JobConfig, Task
from pipeline.connect import connect
from pipeline.events import tell_finished, tell_started
from pipeline.heartbeat import LINE_EVERY, Work, reported, without_echoes
from pipeline.metrics import Meter
from pipeline.models import Models, check_models, fit_inputs
from pipeline.monitor import TooManyErrorsError, end_actors, start_monitor
from pipeline.nodes import running_nodes
from pipeline.pool import Pool, fit_pool, plan_pool
from pipeline.predict import ViltActor
from pipeline.preprocess import Settings, preprocess
from pipeline.progress import Progress
from pipeline.reach import check_reach, local_paths, other_machines, with_absolute_models
from pipeline.readtask import preprocess_windows
from pipeline.schema import ROW_HASH, without_hidden
from pipeline.sections import ConfigError
from pipeline.sink import ParquetSink
from pipeline.staging import Staging
from pipeline.storage import STORAGE_ERRORS, open_fsspec
from pipeline.tables import InputTable, check_columns, open_table, read
from pipeline.texts import RankTexts
from pipeline.texttable import read_texts
from pipeline.unify import first_line
from pipeline.watch import Watch
from pipeline.written import Written

BLOCK_BYTES, KEPT_BLOCK_BYTES = 2**16, 2**22  # less than a micro-batch has: each is on its way as soon as it is made
ACTOR_MEMORY = 2**30  # bytes; reserving it also keeps Ray from fusing the actors with the stage before them


class StorageFailedError(RuntimeError):
    """The storage failed in mid-run and did not come back."""


@dataclass(frozen=True)
class Summary:
    """What a job did, over all its runs.

    seconds: of the run that finished it, from the start of the flow to its end, model loading included;
    `pairs_per_second` is that run's. resumed_rows: of the input, that earlier runs had done. input: the section of the
    config. finished_before: nothing was left to do.
    """

    tasks: list[Task]
    output: str
    rows_in: int
    rows_out: int
    pairs: int
    scored: int
    rejected: dict[str, int]
    seconds: float
    pairs_per_second: float
    model_seconds: float
    micro_batches: int
    tokens: int
    batch_fill: float
    files: list[str]
    lineage: dict[str, str]
    identity: dict[str, str]
    resumed_rows: int
    input: dict[str, Any] = field(default_factory=dict)
    finished_before: bool = False


def run(config: JobConfig, retry_errors: bool = False, every: float = LINE_EVERY) -> Summary:
    """Run a whole job: read, fetch, preprocess, predict, write, check that every row came out, publish.

    A job that was stopped goes on where it was. retry_errors: of a finished job, only the rows again whose error may
    pass. every: seconds between two events `progress`, see `pipeline.events`.

    Raises ConfigError before anything starts, BusyError where another run is at work on the output;
    StorageFailedError, TooManyErrorsError and RowsLostError before anything is published.
    """
    config = fit_inputs(config)
    table = open_table(config)
    models = check_models(config)
    texts = read_texts(config, table) if config.texts else None
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    with ExitStack() as stack:
        try:
            progress = stack.enter_context(Progress(filesystem, path, job_identity(table, models, texts)))
            finished = progress.begin(config.output.overwrite, retry_errors)
        except STORAGE_ERRORS as error:
            raise ConfigError(f"output.path: cannot write to {config.output.path!r}: {first_line(error)}") from None
        if finished:
            return tell_finished(replace(Summary(**finished), finished_before=True))
        with storage_told():
            return tell_finished(_run_rest(config, table, models, progress, texts, every))


@contextmanager
def storage_told() -> Iterator[None]:
    """While it is open, a failure of the storage is raised as StorageFailedError."""
    try:
        yield
    except STORAGE_ERRORS as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        raise StorageFailedError(
            f"the storage failed: {first_line(cause)}; what was written stays, and the same command goes on"
        ) from None


def _run_rest(
    config: JobConfig, table: InputTable, models: Models, progress: Progress, texts: RankTexts | None, every: float
) -> Summary:
    """What is left to do, and publish."""
    before = Written.total(progress.total_parts())
    resumed = len(progress.done)
    seconds = 0.0
    if resumed < table.rows:
        with ray_session(config.ray.address):
            started = time.monotonic()
            progress.parts += write_rest(config, table, models, progress, before, every, texts)
            seconds = time.monotonic() - started
    progress.audit(table.rows)
    summary = _summarise(config, table, models, progress, before, resumed, seconds)
    progress.publish(asdict(summary))
    return summary


def write_rest(
    config: JobConfig,
    table: InputTable,
    models: Models,
    progress: Progress | Staging,
    before: Written,
    every: float,
    texts: RankTexts | None = None,
    types: Mapping[str, pa.DataType] | None = None,
) -> list[Written]:
    """Score the rows that are not done; the files that hold them. types: of columns of a Delta table."""
    nodes = running_nodes()
    pool = fit_pool(config, nodes, len(texts.ids) if texts else 1)
    check_reach(local_paths(config, table.base, progress.uri), other_machines(nodes.now))
    config = with_absolute_models(config)
    context = ray.data.DataContext.get_current()
    context.actor_init_retry_on_errors = True
    context.target_max_block_size = KEPT_BLOCK_BYTES if config.output.keep_image else BLOCK_BYTES
    monitor = start_monitor(config.max_error_rate, len(progress.done), before.rows, dict(before.errors))
    run_id = time.strftime("%Y%m%dT%H%M%S-") + uuid.uuid4().hex[:6]
    file_rows = None if config.output.keep_image else pool.rows_per_file
    budget = 0 if texts else pool.tokens  # how full the batches of images are says nothing of their many pairs
    watch = Watch(monitor, Meter("+".join(config.tasks), run_id), budget)
    sink = ParquetSink(progress.filesystem, progress.folder, run_id, models.lineage, budget, file_rows, types, watch)
    settings = Settings(config, table.base, table.columns, pool.tokens, models.images)
    try:
        tell_started(config, run_id, table.rows, len(progress.done), pool.count)
        work = Work(table.rows, texts.pairs(table.rows) - before.pairs if texts else None)
        with without_echoes(), reported(watch, work, every):
            then = partial(preprocess_windows, settings=settings, watch=watch)
            batches = read(table, config, progress.done, then, pool.decode_on)
            rows_out = _predict(batches, config, pool, watch, texts)
            # Writing waits for storage, not for a core: a file is there as soon as its rows are.
            rows_out.write_datasink(sink, ray_remote_args={"num_cpus": 0})
    except ray.exceptions.RayError:
        verdict = ray.get(monitor.verdict.remote())
        if verdict:
            raise TooManyErrorsError(verdict) from None
        raise
    finally:
        end_actors(monitor)
    return sink.parts


def job_identity(table: InputTable, models: Models, texts: RankTexts | None = None) -> dict[str, str]:
    """What makes a job the same one: then it goes on where it was stopped."""
    names = {"model": "vilt.weights_sha256", "config": "vilt.config_sha256"}
    own = {**{name: models.lineage[key] for name, key in names.items()}, "input": table.fingerprint}
    return {**own, "texts": texts.fingerprint} if texts else own


def build_processor(config: JobConfig) -> Callable[[ray.data.Dataset], ray.data.Dataset]:
    """The job as a step for a graph of your own: a Dataset of images and texts -> the same rows with their results.

    Ray must be running. The Dataset has the columns that `config.input` names; without `input.id` it must also
    have `row_hash`, as `ray.data.read_parquet(..., include_row_hash=True)` gives it. `config.input.path` is only
    the folder to which relative image URIs are relative; `config.output.path` is not used.
    """
    config = fit_inputs(config)
    models = check_models(config)

    def process(dataset: ray.data.Dataset) -> ray.data.Dataset:
        schema = dataset.schema().base_schema
        if config.input.id is None and ROW_HASH not in schema.names:
            raise ConfigError(f"input.id: missing, and the dataset has no column {ROW_HASH!r} to make row ids from")
        pool = plan_pool(config)
        settings = Settings(config, config.input.path, check_columns(schema, config), pool.tokens, models.images)
        batches = dataset.map_batches(
            preprocess,
            fn_kwargs={"settings": settings},
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            label_selector=pool.decode_on,
        )
        return _predict(batches, config, pool).map_batches(without_hidden, batch_format="pyarrow")

    return process


def _predict(
    batches: ray.data.Dataset,
    config: JobConfig,
    pool: Pool,
    watch: Watch | None = None,
    texts: RankTexts | None = None,
) -> ray.data.Dataset:
    """Micro-batches -> rows with results."""
    shared = ray.put(texts) if texts else None
    return batches.map_batches(
        ViltActor,
        fn_constructor_kwargs={"config": config, "threads": pool.cpus, "watch": watch, "texts": shared},
        batch_size=1,
        batch_format="pyarrow",
        compute=pool.strategy,
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        memory=ACTOR_MEMORY,
    )


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """A running Ray: the caller's, the cluster at `address` or RAY_ADDRESS, or one on this machine that ends here.

    Raises ConfigError where there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        connect(address)
    else:  # one core more than there are: reading and decoding share the cores with the model
        cores = (os.cpu_count() or 1) + 1
        ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="warning")
    try:
        yield
    finally:
        ray.shutdown()


def _summarise(
    config: JobConfig,
    table: InputTable,
    models: Models,
    progress: Progress,
    before: Written,
    resumed: int,
    seconds: float,
) -> Summary:
    total = Written.total(progress.total_parts())
    rejected = dict(total.errors.most_common())
    return Summary(
        tasks=list(config.tasks),
        output=config.output.path,
        rows_in=table.rows,
        rows_out=len(progress.done),
        pairs=_pairs(total, config),
        scored=total.rows - sum(rejected.values()),
        rejected=rejected,
        seconds=round(seconds, 3),
        pairs_per_second=round((_pairs(total, config) - _pairs(before, config)) / seconds, 2) if seconds else 0.0,
        model_seconds=round(total.model_seconds, 3),
        micro_batches=total.micro_batches,
        tokens=total.tokens,
        batch_fill=round(total.tokens / total.capacity, 4) if total.capacity else 0.0,
        files=sorted(part.name for part in progress.total_parts()),
        lineage={**models.lineage, "vilt.precision": ", ".join(sorted(total.devices))},
        identity=progress.identity,
        resumed_rows=resumed,
        input=config.input.model_dump(exclude_defaults=True),
    )


def _pairs(written: Written, config: JobConfig) -> int:
    """Of images that are ranked, those that the model read; else rejected ones too."""
    return written.pairs if config.texts else written.rows
