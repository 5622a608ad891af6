"""What happens in a job, told as log records with fields, for whoever listens to the logger `pipeline`.

| event | when |
| --- | --- |
| `job_started` | the config is right, and rows are left to do |
| `progress` | every minute: how far, how fast, what is limiting |
| `rejected` | a reason is seen for the first time, with an example |
| `warning` | something may be wrong |
| `job_finished` | the results are in their place; counts |
| `failed` | the job has ended without, and why, in one line |
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pipeline.config.job import JobConfig

if TYPE_CHECKING:
    from pipeline.common.summary import Summary

LOGGER = logging.getLogger("pipeline")
FINISHED = (
    *("tasks", "output", "rows_in", "rows_out", "pairs", "scored", "rejected", "seconds", "pairs_per_second"),
    *("model_seconds", "micro_batches", "tokens", "batch_fill", "resumed_rows", "finished_before"),
)


def tell(event: str, text: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event. text: for a person, the message. fields: JSON values, for programs."""
    LOGGER.log(level, text, extra={"event": event, "fields": fields})


def tell_started(config: JobConfig, run: str, rows: int, done: int, actors: int) -> None:
    """`job_started`. run: the id of the run, as in the metrics. rows: of the table. done: by earlier runs."""
    text = f"{', '.join(config.tasks)}: {rows - done:,} of {rows:,} rows to do"
    fields: dict[str, Any] = {
        "run": run,
        "tasks": list(config.tasks),
        "input": config.input.path,
        "output": config.output.path,
    }
    tell("job_started", text, **fields, rows=rows, rows_done=done, actors=actors)


def tell_finished(summary: Summary) -> Summary:
    """`job_finished`; the summary."""
    rejected = sum(summary.rejected.values())
    text = f"{summary.rows_out:,} rows done, {rejected:,} rejected, in {summary.seconds:.1f} s"
    values = {name: getattr(summary, name) for name in FINISHED}
    tell("job_finished", text, **values, files=len(summary.files))
    return summary
