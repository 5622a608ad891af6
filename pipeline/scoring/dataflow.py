"""The stages of a job, composed on Ray Data: read and preprocess, predict, write."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa
import ray
import ray.data
import ray.exceptions

from pipeline.cluster.actor_pool import Pool, fit_pool, plan_pool
from pipeline.cluster.nodes import running_nodes
from pipeline.cluster.path_checks import check_reach, local_paths, other_machines, with_absolute_models
from pipeline.common.columns import ROW_HASH, without_hidden
from pipeline.common.errors import ConfigError, TooManyErrorsError
from pipeline.config.job import JobConfig
from pipeline.monitoring.error_budget import end_actors, start_monitor
from pipeline.monitoring.events import tell_started
from pipeline.monitoring.metrics import Meter
from pipeline.monitoring.progress_reporter import Work, reported, without_echoes
from pipeline.monitoring.stage_timing import Watch
from pipeline.results.file_footer import Written
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.progress import Progress
from pipeline.results.staging import Staging
from pipeline.stages.checkpoints import Models, check_models, check_precision, fit_inputs
from pipeline.stages.predict import ViltActor
from pipeline.stages.preprocess import Settings, preprocess
from pipeline.stages.read_task import preprocess_windows
from pipeline.tables.rank_texts import RankTexts
from pipeline.tables.table import InputTable, check_columns, read

BLOCK_BYTES, KEPT_BLOCK_BYTES = 2**16, 2**22  # less than a micro-batch has: each is on its way as soon as it is made
ACTOR_MEMORY = 2**30  # bytes; reserving it also keeps Ray from fusing the actors with the stage before them


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
    others = other_machines(nodes.now)
    check_reach(local_paths(config, table.base, progress.uri), others)
    if not pool.gpus and not others:
        check_precision(config)
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
        if not isinstance(schema, pa.Schema):  # of blocks of pandas: what their first rows are in Arrow
            schema = dataset.take_batch(config.batch.window_rows, batch_format="pyarrow").schema
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
