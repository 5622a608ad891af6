"""Keep a Delta table of results equal to an input that grows and changes: diff, plan, apply, commit."""

from __future__ import annotations

import time
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig, StorageConfig
from pipeline.monitoring.progress_reporter import LINE_EVERY
from pipeline.reindexing.apply import ReindexJob, apply
from pipeline.reindexing.commit import commit
from pipeline.reindexing.input_snapshot import diff
from pipeline.reindexing.plan import plan
from pipeline.reindexing.table_columns import identity_of
from pipeline.reindexing.table_folder import TableFolder, open_folder
from pipeline.results.delta_commit import Commit
from pipeline.scoring.run import storage_told
from pipeline.stages.checkpoints import check_models, fit_inputs
from pipeline.tables.table import list_table

MOST_TRIES = 10


class Reindexed(NamedTuple):
    """What a run did.

    Attributes:
        commit: The table's last commit.
        new: Whether this run made it.
        retried: How many rows it tried again.
    """

    commit: Commit
    new: bool
    retried: int


def reindex(config: JobConfig, retry_errors: bool = False, follow: bool = True, every: float = LINE_EVERY) -> Reindexed:
    """Bring the table at `output.path` up to date with the input: one commit, or none if nothing has changed.

    With another model, config or set of columns than the last commit's, everything is read anew, and readers see the
    rows before until all are there. A run that was stopped is resumed by the next.

    Args:
        config: The job.
        retry_errors: Read all rows again whose error may pass, also those that were tried `output.retry_errors` times.
        follow: If false, the table must not exist yet, or have just these results, unless `output.overwrite` is set.
        every: Seconds between two events of progress.

    Raises:
        ConfigError: Something is wrong with the config, or the input does not fit the table; nothing was done.
        BusyError: Another run is at work.
        StorageFailedError: The storage failed; nothing was committed.
        TooManyErrorsError: `max_error_rate` is exceeded; nothing was committed.
        RowsLostError: Rows are missing; nothing was committed.
    """
    started = time.monotonic()
    if follow and config.output.overwrite:
        raise ConfigError(
            "output.overwrite: true, but reindex keeps the table and brings it up to date: leave the key out"
        )
    config = fit_inputs(config)
    models = check_models(config)
    listing = list_table(config.input, config.storage)
    job = ReindexJob(config, models, listing, identity_of(config, models), every)
    with open_folder(config.output.path, config.storage) as folder, storage_told():
        return _run(job, folder, retry_errors, follow, started)


def _run(job: ReindexJob, folder: TableFolder, retry_errors: bool, follow: bool, started: float) -> Reindexed:
    """Diff, plan, apply, commit."""
    output = job.config.output
    state = folder.state(job.identity, overwrite=output.overwrite)
    changes = diff(state.snapshot, job.listing.found)
    todo = plan(changes, state, None if retry_errors else most_tries(job.config))
    if state.latest and todo.is_empty:
        return Reindexed(state.latest, False, 0)
    if state.latest and not (follow or output.overwrite or todo.retries_only):
        raise ConfigError(
            f"output.path: {output.path!r} holds the results of another config or input; choose "
            "another folder, set output.overwrite=true to replace them, or follow the input with `vilt reindex`"
        )
    staged = apply(todo, state, job, folder)
    if staged.failed_as_before:
        assert state.latest is not None
        folder.write_failed(state.latest, staged.failed)
        folder.drop_staging(job.identity)
        return Reindexed(state.latest, False, len(todo.retry))
    return Reindexed(commit(staged, state, job, folder, started), True, len(todo.retry))


def most_tries(config: JobConfig) -> int:
    """Return how often a row whose error may pass is read again."""
    wanted = config.output.retry_errors
    return MOST_TRIES if wanted is None else wanted


def rollback(uri: str, storage: StorageConfig, version: int | None = None) -> Commit:
    """Make an earlier version of the table its latest: one commit.

    Args:
        uri: The table's folder.
        storage: How to reach it.
        version: Its number; None: the one before the latest.

    Raises:
        ConfigError: There is no such version, or its files are gone.
        BusyError: Another run is at work.
    """
    with open_folder(uri, storage) as folder, storage_told():
        return folder.restore(version)
