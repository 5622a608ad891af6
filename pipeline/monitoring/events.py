"""The events of a job: log records with fields, of the logger `pipeline`.

| event | when |
| --- | --- |
| `shard` | the scheduler's variable says which shard of the table the run reads |
| `job_started` | the config is right, and rows are left to do |
| `images_verified` | a reindex has asked for the versions of images (`input.verify`); how many have changed |
| `progress` | every minute: rows done, rate, time left, which stage limits |
| `rejected` | an error code is seen for the first time, with an example |
| `warning` | something may be wrong |
| `job_finished` | the results are in their place; counts |
| `failed` | the job has ended without results, and why, in one line |
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pipeline.common.redaction import redacted_text, redacted_values
from pipeline.config.job import JobConfig
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.common.summary import Summary

LOGGER = logging.getLogger("pipeline")
FINISHED = (
    *("tasks", "output", "rows_in", "rows_out", "pairs", "scored", "rejected", "texts_truncated"),
    *("seconds", "parts", "pairs_per_second", "model_seconds"),
    *("micro_batches", "tokens", "batch_fill", "resumed_rows", "finished_before"),
)


def emit(event: str, text: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event.

    Args:
        event: Its name.
        text: The message for a person.
        level: A level of `logging`.
        fields: JSON values, for programs.

    Credentials of URIs are left out of both.
    """
    LOGGER.log(level, redacted_text(text), extra={"event": event, "fields": redacted_values(fields)})


def emit_started(config: JobConfig, run_id: str, rows: int, rows_done: int, actors: int) -> None:
    """Emit `job_started`.

    Args:
        config: The job.
        run_id: The id of the run, as in the metrics.
        rows: Rows of the table.
        rows_done: Rows that earlier runs have done.
        actors: The size of the pool.
    """
    text = f"{', '.join(config.tasks)}: {rows - rows_done:,} of {counted(rows, 'row')} to do"
    fields: dict[str, Any] = {
        "run": run_id,
        "tasks": list(config.tasks),
        "input": config.input.path,
        "output": config.output.path,
    }
    emit("job_started", text, **fields, rows=rows, rows_done=rows_done, actors=actors)


def emit_finished(summary: Summary, **fields: Any) -> Summary:
    """Emit `job_finished` and return the summary.

    Args:
        summary: The finished job.
        fields: More JSON values; they take precedence over the summary's.
    """
    rejected = sum(summary.rejected.values())
    text = f"{counted(summary.rows_out, 'row')} done, {rejected:,} rejected, in {summary.seconds:.1f} s"
    values = {name: getattr(summary, name) for name in FINISHED}
    emit("job_finished", text, **{**values, "files": len(summary.files), **fields})
    return summary
