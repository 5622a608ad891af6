"""A batch job from a config file: `vilt run`, and `score`, `answer` and the other tasks alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobs.console.command import NOTHING_TO_DO, Outcome
from jobs.console.exit_codes import DONE
from pipeline import JobConfig, Summary, run
from pipeline.common.tasks import Task
from pipeline.monitoring.progress_reporter import LOG_EVERY


def run_file(
    task: Task | None,
    path: str,
    overrides: Sequence[str] = (),
    retry_errors: bool = False,
    every: float = LOG_EVERY,
) -> Outcome:
    """Run the job that a YAML file describes.

    Args:
        task: What to do; None if the file says it.
        path: Path of the file.
        overrides: `key=value`, over the keys of the file.
        retry_errors: Read again only rows with a transient error.
        every: Seconds between two events of progress.

    Raises:
        ConfigError: Before anything starts.
        BusyError: If another run is at work on the output.
        StorageFailedError, TooManyErrorsError, RowsLostError: Before anything is published.
    """
    started = time.monotonic()
    config = JobConfig.load(task, path, overrides)
    if config.output.format == "delta":
        return _write_delta(config, retry_errors, every, started)
    summary = run(config, retry_errors, every)
    return outcome_of(summary, time.monotonic() - started)


def outcome_of(summary: Summary, seconds: float | None = None) -> Outcome:
    """Return what a job has done; see `jobs.reports.summary`."""
    from jobs.reports.summary import summary_table, summary_values

    status = NOTHING_TO_DO if summary.finished_before else DONE.status
    return Outcome(summary_table(summary, seconds), summary_values(summary, seconds), status)


def _write_delta(config: JobConfig, retry_errors: bool, every: float, started: float) -> Outcome:
    from jobs.commands.reindex import finish
    from pipeline.reindexing.reindex import reindex

    return finish(reindex(config, retry_errors, follow=False, log_every=every), config, started)
