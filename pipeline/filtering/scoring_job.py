"""The job of a filter's section `run`, which scores the table first."""

from __future__ import annotations

from dataclasses import replace

from pipeline.results.reader import NoSummaryError, read_summary
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob
from pipeline.scoring.run import run_job


def score(job: PreparedJob, overwrite: bool) -> None:
    """Make the results of a prepared job, unless they are there.

    Args:
        job: The job.
        overwrite: Whether to replace results of another model or table.
    """
    output = job.config.output.model_copy(update={"overwrite": overwrite and not _is_made(job)})
    job = replace(job, config=job.config.model_copy(update={"output": output}))
    run_job(job, ParquetOutput(job), check_ids=False)  # the filter has, since it needs them


def _is_made(job: PreparedJob) -> bool:
    """Return whether the output holds the results of this very job."""
    try:
        made = read_summary(job.config.output.path, "output.path", job.config.storage).get("identity")
    except NoSummaryError:
        return False
    return bool(made == job.identity)
