"""Run a job, whatever it writes: files of results, a Delta table, or the tables of rank."""

from __future__ import annotations

from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import LOG_EVERY


def run(config: JobConfig, retry_errors: bool = False, log_every: float = LOG_EVERY) -> Summary:
    """Run a whole job, as `vilt run` does: read, fetch, preprocess, predict, write, check, publish, report.

    A job that was stopped resumes where it was. Events go to the logger `pipeline`, see `pipeline.monitoring.events`.

    Args:
        config: The job.
        retry_errors: Repeat those rows of a finished job whose error may pass.
        log_every: Seconds between two `progress` events.

    Raises:
        ConfigError: The config, or what it points to, is wrong; before anything starts.
        BusyError: Another run is at work on the output.
        StorageFailedError: The storage failed and did not come back; nothing was published.
        TooManyErrorsError: More rows are rejected than `max_error_rate` allows; nothing was published.
        RowsLostError: Rows in and rows out differ; nothing was published.
    """
    if config.output.format == "delta":
        from pipeline.reindexing.reindex import reindex

        summary = reindex(config, retry_errors, follow=False, log_every=log_every).summary
        assert summary is not None
        return summary
    if config.texts:
        from pipeline.ranking.rank import rank

        return rank(config, retry_errors, log_every)
    from pipeline.scoring.run import run_to_files

    return run_to_files(config, retry_errors, log_every)
