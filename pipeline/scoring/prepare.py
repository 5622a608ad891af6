"""Prepare a job: open, hash and check its table, checkpoints and texts, each once, before any row is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from pipeline.cluster.session import ray_session
from pipeline.common.background import Background
from pipeline.common.errors import ConfigError, first_line
from pipeline.config.job import JobConfig
from pipeline.results.work_folder import SUMMARY
from pipeline.scoring.lance_version import pinned_to_job
from pipeline.scoring.sharding import with_shard
from pipeline.stages.checkpoints import (
    Models,
    OpenCheckpoint,
    check_models,
    fit_inputs,
    may_lack_a_head,
    open_checkpoints,
)
from pipeline.storage.filesystem import check_folder, open_fsspec, storage_errors
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.rank_inputs.texts_reader import read_texts
from pipeline.tables.table import InputTable, open_table


@dataclass(frozen=True)
class PreparedJob:
    """A job whose inputs are open and fit together.

    Attributes:
        config: The job, with the columns that its family of models reads.
        table: The input.
        models: The checkpoints.
        texts: The texts of a rank job.
        seconds: How long preparing took.
        start_seconds: How long Ray took to start, if it was started meanwhile.
        ray: Holds a Ray that was started for the job, and ends it when it is closed.
    """

    config: JobConfig
    table: InputTable
    models: Models
    texts: RankTexts | None = None
    seconds: float = 0.0
    start_seconds: float = 0.0
    ray: ExitStack = field(default_factory=ExitStack)

    @property
    def identity(self) -> dict[str, str]:
        """Return what makes a job the same one, so that it resumes where it was stopped: key -> hash."""
        identity = {
            "model": self.models.lineage["vilt.weights_sha256"],
            "config": self.models.lineage["vilt.config_sha256"],
            "input": self.table.fingerprint,
        }
        if self.table.part is not None:
            identity["shard"] = str(self.table.part.shard)
        return {**identity, "texts": self.texts.fingerprint} if self.texts else identity


def prepare(config: JobConfig, meanwhile: Callable[[], object] | None = None) -> PreparedJob:
    """Open, hash and check everything that a job reads.

    Args:
        config: The job.
        meanwhile: What to do while checkpoints are read, which comes last and takes longest.

    Raises:
        ConfigError: Anything is missing, cannot be read, or does not fit the rest; one line that says what.
    """
    started = time.monotonic()
    config = with_shard(pinned_to_job(config))
    checkpoints = open_checkpoints(config)
    config = fit_inputs(config, checkpoints)
    table = open_table(config)
    models, start_seconds = _models(config, checkpoints, meanwhile)
    texts = read_texts(config, table) if config.texts else None
    return PreparedJob(config, table, models, texts, time.monotonic() - started - start_seconds, start_seconds)


@contextmanager
def prepared(config: JobConfig) -> Iterator[PreparedJob]:
    """Provide the prepared job; a Ray of its own starts while checkpoints are read, and ends when it has run.

    Ray is not started early where the output has a summary: there may be nothing left to do.

    Raises:
        ConfigError: See `prepare`.
        RayFailedError: Ray did not start.
    """
    config = with_shard(config)
    _check_output(config)
    with ExitStack() as stack:

        def start_ray() -> None:
            stack.enter_context(ray_session(config.ray.address))

        yield replace(prepare(config, None if _may_be_done(config) else start_ray), ray=stack)


def _may_be_done(config: JobConfig) -> bool:
    """Return whether results are there that the job would not replace; True as well if the storage does not tell."""
    if config.output.overwrite:
        return False
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    try:
        return bool(filesystem.exists(f"{path}/{SUMMARY}"))
    except storage_errors():
        return True


def _check_output(config: JobConfig) -> None:
    """Raise ConfigError if the output cannot be a folder; what only writing shows is said when the job begins."""
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    try:
        check_folder(filesystem, path)
    except storage_errors() as error:
        raise ConfigError(f"output.path: cannot write to {config.output.path!r}: {first_line(error)}") from None


def _models(
    config: JobConfig, checkpoints: Mapping[str, OpenCheckpoint], meanwhile: Callable[[], object] | None
) -> tuple[Models, float]:
    """Return the checkpoints, and the seconds that were spent on what is done meanwhile, until both were done."""
    if meanwhile is None:
        return check_models(config, checkpoints), 0.0
    if may_lack_a_head(config, checkpoints):  # which is said before anything starts
        models, started = check_models(config, checkpoints), time.monotonic()
        meanwhile()
        return models, time.monotonic() - started
    reading = Background(lambda: check_models(config, checkpoints))
    started = time.monotonic()
    meanwhile()
    seconds = time.monotonic() - started
    return reading.result(), seconds
