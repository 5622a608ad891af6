"""`vilt reindex`: a Delta table of results that follows its input."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobs.console.command import NOTHING_TO_DO, Outcome
from jobs.console.exit_codes import DONE
from jobs.reports.commits import commit_table, commit_values
from pipeline import ConfigError, JobConfig
from pipeline.config.base import read_values
from pipeline.monitoring.progress_reporter import LOG_EVERY
from pipeline.reindexing.reindex import Reindexed, reindex, rollback

PREVIOUS = "previous"


def reindex_file(
    path: str,
    overrides: Sequence[str] = (),
    retry_errors: bool = False,
    back_to: str | None = None,
    every: float = LOG_EVERY,
) -> Outcome:
    """Run the reindexing that a YAML file describes.

    Args:
        path: Path of the file.
        overrides: `key=value`, over the keys of the file.
        retry_errors: Read again rows with a transient error, too.
        back_to: Restore an earlier version instead: its number, or "previous".
        every: Seconds between two events of progress.

    Raises:
        ConfigError: Before anything starts.
        BusyError: If another run is at work on the table.
        StorageFailedError, TooManyErrorsError, RowsLostError: Before anything is committed.
    """
    started = time.monotonic()
    config = load(path, overrides)
    if back_to is not None:
        if retry_errors:
            raise ConfigError("--retry-errors: means nothing with --rollback, which reads no rows: leave one out")
        commit = rollback(config.output.path, config.storage, _version(back_to))
        return _outcome(Reindexed(commit, True, 0), config.output.path)
    return finish(reindex(config, retry_errors, log_every=every), config, started)


def load(path: str, overrides: Sequence[str]) -> JobConfig:
    """Read a config whose output is a Delta table, whether it says so or not.

    Raises:
        ConfigError: If something in it is wrong, or it asks for another format.
    """
    values = read_values(path, overrides)
    output = values.get("output")
    if isinstance(output, dict):
        wanted = output.setdefault("format", "delta")
        if wanted != "delta":
            raise ConfigError(f"{path}: output.format: {wanted!r}, but reindex keeps a Delta table: leave the key out")
    return JobConfig.parse(None, values, path)


def finish(done: Reindexed, config: JobConfig, started: float) -> Outcome:
    """Return what a run has done.

    Args:
        done: The run.
        config: The job.
        started: When the command began, by `time.monotonic`.
    """
    return _outcome(done, config.output.path, time.monotonic() - started)


def _outcome(done: Reindexed, uri: str, seconds: float | None = None) -> Outcome:
    status = DONE.status if done.new else NOTHING_TO_DO
    values = commit_values(done.commit, done.new, done.retried, seconds)
    return Outcome(commit_table(done, uri, seconds), values, status)


def _version(text: str) -> int | None:
    if text == PREVIOUS:
        return None
    if not text.isdecimal():
        raise ConfigError(f"--rollback: {text!r} is no version: give a number of `vilt history`, or {PREVIOUS}")
    return int(text)
