"""A whole job, in order: check, start Ray, let the rows flow, check that none was lost, publish, tell what happened.

What a process imports takes longer than most of what it does with it: Ray Data and torch are imported where they are
needed, so that what is wrong with a config is told at once, and processes that only count have neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import ray
import ray.exceptions

from pipeline.cluster.session import ray_session
from pipeline.common.errors import ConfigError, StorageFailedError, first_line
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.events import tell_finished
from pipeline.monitoring.progress_reporter import LINE_EVERY
from pipeline.results.file_footer import Written
from pipeline.results.input_files import InputFiles
from pipeline.results.progress import Progress
from pipeline.storage.filesystem import STORAGE_ERRORS, open_fsspec

if TYPE_CHECKING:
    from pipeline.stages.checkpoints import Models
    from pipeline.tables.rank_texts import RankTexts
    from pipeline.tables.table import InputTable


def run(config: JobConfig, retry_errors: bool = False, every: float = LINE_EVERY) -> Summary:
    """Run a whole job: read, fetch, preprocess, predict, write, check that every row came out, publish.

    A job that was stopped goes on where it was. retry_errors: of a finished job, only the rows again whose error may
    pass. every: seconds between two events `progress`, see `pipeline.monitoring.events`.

    Raises ConfigError before anything starts, BusyError where another run is at work on the output;
    StorageFailedError, TooManyErrorsError and RowsLostError before anything is published.
    """
    from pipeline.stages.checkpoints import check_models, fit_inputs
    from pipeline.tables.rank_texts_reader import read_texts
    from pipeline.tables.table import open_table

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
    from pipeline.scoring.dataflow import write_rest

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
    InputFiles.of(table.fingerprint, (file.found for file in table.files)).write(progress.filesystem, progress.path)
    progress.publish(asdict(summary))
    return summary


def job_identity(table: InputTable, models: Models, texts: RankTexts | None = None) -> dict[str, str]:
    """What makes a job the same one: then it goes on where it was stopped."""
    names = {"model": "vilt.weights_sha256", "config": "vilt.config_sha256"}
    own = {**{name: models.lineage[key] for name, key in names.items()}, "input": table.fingerprint}
    return {**own, "texts": texts.fingerprint} if texts else own


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
