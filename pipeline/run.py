"""Compose the stages, run them, check that no row was lost, and tell what happened."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import ray
import ray.data

from pipeline.config import ConfigError, JobConfig
from pipeline.pool import Pool, plan_pool
from pipeline.predict import HEAD, ViltActor
from pipeline.preprocess import Settings, preprocess
from pipeline.schema import STATS
from pipeline.sink import ParquetSink, Written
from pipeline.storage import STORAGE_ERRORS
from pipeline.tables import ROW_HASH, InputTable, check_columns, open_table, read
from vilt import checkpoint
from vilt.configuration import ViltConfig
from vilt.heads import HEADS
from vilt.predictor import Preprocessor

ACTOR_MEMORY = 2**30  # bytes; reserving it also keeps Ray from fusing the actors with the stage before them


@dataclass(frozen=True)
class Summary:
    """What a job did. `pairs_per_second` counts from the start of the flow to its end, model loading included."""

    task: str
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


def run(config: JobConfig) -> Summary:
    """Run a whole job: read, fetch, preprocess, predict, write, and check that every row came out.

    Raises ConfigError before anything starts, RowsLostError before anything is published.
    """
    table = open_table(config)
    lineage = check_model(config)
    sink = ParquetSink(config, time.strftime("%Y%m%dT%H%M%S-") + uuid.uuid4().hex[:6], lineage)
    sink.open()
    try:
        with ray_session(config.ray.address):
            pool = plan_pool(config)
            started = time.monotonic()
            if table.rows:
                settings = Settings(config, table.base, table.columns, pool.tokens)
                _stages(read(table, config), settings, pool).write_datasink(sink)
            seconds = time.monotonic() - started
        sink.publish(table.rows)
    finally:
        sink.close()
    summary = _summarise(config, table, sink.total, lineage, pool, seconds)
    sink.write_summary(asdict(summary))
    return summary


def build_processor(config: JobConfig) -> Callable[[ray.data.Dataset], ray.data.Dataset]:
    """The job as a step for a graph of your own: a Dataset of images and texts -> the same rows with their results.

    Ray must be running. The Dataset has the columns that `config.input` names; without `input.id` it must also
    have `row_hash`, as `ray.data.read_parquet(..., include_row_hash=True)` gives it. `config.input.path` is only
    the folder to which relative image URIs are relative; `config.output.path` is not used.
    """
    check_model(config)

    def process(dataset: ray.data.Dataset) -> ray.data.Dataset:
        schema = dataset.schema().base_schema
        if config.input.id is None and ROW_HASH not in schema.names:
            raise ConfigError(f"input.id: missing, and the dataset has no column {ROW_HASH!r} to make row ids from")
        pool = plan_pool(config)
        settings = Settings(config, config.input.path, check_columns(schema, config), pool.tokens)
        return _stages(dataset, settings, pool).drop_columns([STATS])

    return process


def check_model(config: JobConfig) -> dict[str, str]:
    """Read the checkpoint's files and check that it has the head of the task; the lineage for the footers.

    Raises ConfigError where anything is missing or does not fit.
    """
    try:
        shape = ViltConfig.from_pretrained(config.model)
        Preprocessor.from_pretrained(config.model, shape)
        tensors, sha256 = checkpoint.read(config.model)
    except (*STORAGE_ERRORS, ValueError, ImportError) as error:
        raise ConfigError(f"model: {error}") from None
    heads = sorted({name.split(".")[0] for name in tensors} & set(HEADS))
    if HEAD[config.task] not in heads:
        has = ", ".join(heads) or "no head at all"
        raise ConfigError(f"model: {config.model!r} cannot {config.task}: it lacks {HEAD[config.task]!r}, it has {has}")
    packages = ("vilt-pipeline", "torch", "ray", "pyarrow", "pillow", "tokenizers")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "vilt.task": config.task,
        "vilt.model": config.model,
        "vilt.weights_sha256": sha256,
        "vilt.config_sha256": config.sha256,
        "vilt.versions": json.dumps({"python": platform.python_version(), **versions}),
    }


def _stages(dataset: ray.data.Dataset, settings: Settings, pool: Pool) -> ray.data.Dataset:
    """Blocks of rows -> micro-batches -> rows with results."""
    batches = dataset.map_batches(
        preprocess, fn_kwargs={"settings": settings}, batch_size=None, batch_format="pyarrow", num_cpus=1
    )
    return batches.map_batches(
        ViltActor,
        fn_constructor_kwargs={"config": settings.config, "threads": pool.cpus},
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=pool.count),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        memory=ACTOR_MEMORY,
    )


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """A running Ray: the caller's, the cluster at `address` or RAY_ADDRESS, or one on this machine that ends here."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, logging_level="warning")
    else:  # one core more than there are: reading and decoding share the cores with the model
        ray.init(num_cpus=(os.cpu_count() or 1) + 1, include_dashboard=False, logging_level="warning")
    try:
        yield
    finally:
        ray.shutdown()


def _summarise(
    config: JobConfig, table: InputTable, total: Written, lineage: dict[str, str], pool: Pool, seconds: float
) -> Summary:
    rejected = dict(total.errors.most_common())
    capacity = total.micro_batches * pool.tokens
    return Summary(
        task=config.task,
        output=config.output.path,
        rows_in=table.rows,
        rows_out=total.input_rows,
        pairs=total.pairs,
        scored=total.pairs - sum(rejected.values()),
        rejected=rejected,
        seconds=round(seconds, 3),
        pairs_per_second=round(total.pairs / seconds, 2) if seconds else 0.0,
        model_seconds=round(total.model_seconds, 3),
        micro_batches=total.micro_batches,
        tokens=total.tokens,
        batch_fill=round(total.tokens / capacity, 4) if capacity else 0.0,
        files=sorted(total.files),
        lineage={**lineage, "vilt.precision": ", ".join(sorted(total.places))},
    )
