"""Keep a Delta table of results equal to an input that grows and changes: diff, plan, apply, commit."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa

from pipeline.common.errors import ConfigError, NoFilesError
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.config.storage import StorageConfig
from pipeline.monitoring.events import emit_finished
from pipeline.monitoring.progress_reporter import LOG_EVERY
from pipeline.reindexing.changed_images import Verified, check_verified, verify_images
from pipeline.reindexing.delta_output import DeltaOutput, allow_failures, summary_of
from pipeline.reindexing.empty_input import HINT, check_followed, empty_table, no_files
from pipeline.reindexing.input_snapshot import diff
from pipeline.reindexing.plan import ReindexPlan, TableState, plan
from pipeline.reindexing.rewriting import check_rewrite
from pipeline.reindexing.table_columns import carried_columns, check_values, identity_of, table_columns
from pipeline.reindexing.table_folder import TableFolder, open_folder
from pipeline.results.delta.commit import Commit
from pipeline.scoring.prepare import PreparedJob
from pipeline.scoring.run import run_job, storage_failures
from pipeline.stages.checkpoints import Models, check_models, fit_inputs, open_checkpoints
from pipeline.storage.filesystem import full_uri
from pipeline.tables.file_columns import files_named
from pipeline.tables.format import Listing
from pipeline.tables.table import InputTable, list_table, open_table

MOST_TRIES = 10  # of a row whose error may pass, after the first


class Reindexed(NamedTuple):
    """The result of a run.

    Attributes:
        commit: The table's last commit.
        new: Whether this run made it.
        retried: How many rows it tried again.
        summary: The summary of the table; None after a rollback.
    """

    commit: Commit
    new: bool
    retried: int
    summary: Summary | None = None


@dataclass(frozen=True)
class Request:
    """A job and the options of the run.

    Attributes:
        config: The job, with the columns that its family of models reads.
        models: Its checkpoints.
        listing: The files of the input.
        most_tries: How often a row whose error may pass is read again; None: in each run.
        follow: Whether a table of another input is to be brought up to date.
        log_every: Seconds between two events of progress.
    """

    config: JobConfig
    models: Models
    listing: Listing
    most_tries: int | None
    follow: bool
    log_every: float


def reindex(
    config: JobConfig, retry_errors: bool = False, follow: bool = True, log_every: float = LOG_EVERY
) -> Reindexed:
    """Bring the table at `output.path` up to date with the input: one commit, or none if nothing has changed.

    With another model, config or set of columns than the last commit's, everything is read anew, and readers see the
    rows before until all are there. A run that was stopped is resumed by the next.

    Args:
        config: The job.
        retry_errors: Read all rows again whose error may pass, also those that were tried `output.retry_errors` times.
        follow: If false, the table must not exist yet, or have just these results, unless `output.overwrite` is set.
        log_every: Seconds between two events of progress.

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
    if config.input.shard is not None:
        raise ConfigError("input.shard: reindex keeps one table equal to its whole input: leave the key out")
    checkpoints = open_checkpoints(config)
    config = fit_inputs(config, checkpoints)
    tries = MOST_TRIES if config.output.retry_errors is None else config.output.retry_errors
    models, listing = check_models(config, checkpoints), _list(config, follow)
    request = Request(config, models, listing, None if retry_errors else tries, follow, log_every)
    with ExitStack() as locked, storage_failures():
        folder = locked.enter_context(open_folder(config.output.path, config.storage))
        return _reindex(request, folder, locked, started)


def _reindex(request: Request, folder: TableFolder, locked: ExitStack, started: float) -> Reindexed:
    """Compare, plan, and carry out the plan in the folder, which is locked until its results are committed."""
    output, identity = request.config.output, identity_of(request.config, request.models)
    state = folder.state(identity, output.overwrite)
    if not len(request.listing.files):
        check_followed(request.config, state)
    listing, changes = request.listing, diff(state.snapshot, request.listing.files)
    base = full_uri(listing.filesystem, listing.folder)
    follows = request.follow and state.latest is not None
    verified = verify_images(folder, state, changes.unchanged, request.config, base) if follows else Verified()
    todo = plan(changes, state, request.most_tries, verified.changed)
    if state.latest and todo.is_empty:
        summary = summary_of(state.latest, folder, output.path)
        emit_finished(summary, version=state.latest.version, committed=False)
        return Reindexed(state.latest, False, 0, summary)
    if state.latest and not (request.follow or output.overwrite or todo.retries_only):
        raise ConfigError(
            f"output.path: {output.path!r} holds the results of another config or input; choose "
            "another folder, set output.overwrite=true to replace them, or follow the input with `vilt reindex`"
        )
    table = _open(todo, state, request)
    columns = _columns(todo, state, table, request.config, folder)
    job = PreparedJob(
        allow_failures(request.config, todo, table), table, request.models, seconds=time.monotonic() - started
    )
    results = DeltaOutput(todo, state, columns, job, identity, folder, locked, started)
    summary = run_job(job, results, request.log_every)
    commit = results.commit or state.latest
    assert commit is not None
    return Reindexed(commit, results.commit is not None, todo.retried, summary)


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
    with open_folder(uri, storage) as folder, storage_failures():
        return folder.restore(version)


def _list(config: JobConfig, follow: bool) -> Listing:
    """Find the files of the input; with `output.allow_empty` there may be none.

    Raises:
        ConfigError: There are none, or they cannot be listed.
    """
    if config.output.allow_empty and not follow:
        raise ConfigError("output.allow_empty: true, but only `vilt reindex` follows the input: leave the key out")
    try:
        return list_table(config.input, config.storage)
    except NoFilesError as error:
        if config.output.allow_empty:
            return no_files(config)
        raise ConfigError(f"{error}{HINT if follow else ''}") from None


def _open(todo: ReindexPlan, state: TableState, request: Request) -> InputTable:
    """Open the files of which rows are read, if there are any."""
    if not len(request.listing.files):
        return empty_table(request.config, request.listing, state)
    names = {file.name for file in todo.read} | {file.name for file in todo.retry.files}
    listing = request.listing
    listed = files_named(listing.files, names)
    table = open_table(request.config, replace(listing, files=listed or listing.files[:1]))
    return table if listed else replace(table, files=[])


def _columns(
    todo: ReindexPlan, state: TableState, table: InputTable, config: JobConfig, folder: TableFolder
) -> pa.Schema:
    """Return the columns of the table after the run; check that all values fit before any is read.

    Raises:
        ConfigError: A value does not.
    """
    if not table.files:
        return state.columns
    check_verified(config, carried_columns(table, config))
    columns = table_columns(table, config, todo.diff.unchanged, pa.schema([]) if todo.replaced else state.columns)
    check_values(table, config, columns)
    if not todo.replaced:
        check_rewrite(folder, state.data_files, todo.outdated, columns)
    return columns
