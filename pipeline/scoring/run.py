"""Run a whole job: prepare, start Ray, let the rows flow, check that none was lost, publish, emit what happened.

Ray Data and torch take seconds to import. They are imported where they are needed, so that a wrong config is reported
at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import ray
import ray.exceptions
from typing_extensions import Self

from pipeline.cluster.session import ray_session
from pipeline.common.background import imported_meanwhile
from pipeline.common.errors import ConfigError, StorageFailedError, first_line
from pipeline.common.invocation import command
from pipeline.common.redaction import redacted
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.events import emit_finished
from pipeline.monitoring.progress_reporter import LOG_EVERY
from pipeline.results.file_footer import ResultFile
from pipeline.results.result_parts import StagedParts
from pipeline.results.results_version import written_sha256
from pipeline.scoring.judging import check_error_rate
from pipeline.scoring.outputs import output_of
from pipeline.storage.filesystem import storage_errors

if TYPE_CHECKING:
    from pipeline.scoring.prepare import PreparedJob

REPORTS = "pipeline.reporting.page"  # whose drawing library takes half a second to import


class JobOutput(Protocol):
    """Where a job's results go, and how they become visible: files in a folder, or a commit to a Delta table.

    Attributes:
        types: Column types of a Delta table.
    """

    types: Mapping[str, pa.DataType] | None

    @property
    def staged(self) -> StagedParts:
        """Return where the part files of a run are written."""

    def __enter__(self) -> Self:
        """Take the lock of the output."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""

    def begin(self) -> Summary | None:
        """Find out where the job stands; return the summary if there is nothing left to do."""

    def before_reading(self, job: PreparedJob) -> PreparedJob:
        """Do what must be done on the running Ray before rows are read; return the job with what it has found."""

    def files(self) -> list[ResultFile]:
        """Return every part file that the results will have."""

    def judged(self) -> ResultFile:
        """Return the counts by which a job is judged that has read all its rows."""

    def audit(self) -> None:
        """Check that every row of the input came out once; raise RowsLostError if not."""

    def publish(self, summary: Summary) -> tuple[Summary, dict[str, Any]]:
        """Make the results visible; return the final summary, and more fields for the event `job_finished`."""


def run_to_files(config: JobConfig, retry_errors: bool = False, log_every: float = LOG_EVERY) -> Summary:
    """Run a whole job whose results are files; see `pipeline.run`, which takes every job."""
    from pipeline.scoring.prepare import prepared

    with prepared(config) as job:
        return run_job(job, output_of(job, retry_errors), log_every)


def run_job(job: PreparedJob, output: JobOutput, log_every: float = LOG_EVERY, check_ids: bool = True) -> Summary:
    """Run a prepared job into its output, and write its report if the config asks for one.

    This is the one way of all jobs: it emits the events, publishes results and summary, and writes the report.

    Args:
        job: The job.
        output: Its output.
        log_every: Seconds between two `progress` events.
        check_ids: Whether to warn of ids that do not tell rows apart, if no earlier run has.

    Raises:
        Exception: As `pipeline.run`.
    """
    reports = job.config.output.report
    # Ray ends before the report is drawn: what its processes write when they end is of no use to anyone.
    with job.ray, imported_meanwhile(REPORTS) if reports else nullcontext():
        summary, changed = _run_and_publish(job, output, log_every, check_ids)
    if reports:
        from pipeline.reporting.page import report_after

        report_after(job.config, missing_only=not changed)
    return summary


def _run_and_publish(job: PreparedJob, output: JobOutput, log_every: float, check_ids: bool) -> tuple[Summary, bool]:
    """Do the work of `run_job`, but for the report, with the output locked; return whether the results are new."""
    with ExitStack() as stack:
        try:
            stack.enter_context(output)
            finished = output.begin()
        except storage_errors() as error:
            path = job.config.output.path
            raise ConfigError(f"output.path: cannot write to {path!r}: {first_line(error)}") from None
        if finished:
            return emit_finished(finished), False
        with storage_failures():
            if check_ids and not len(output.staged.done):
                from pipeline.tables.id_checks import warn_about_ids

                started = time.monotonic()
                chosen = job.texts.candidates if job.texts else None
                warn_about_ids(job.table, job.config.input.id, chosen.id_counts if chosen else None)
                job = replace(job, seconds=job.seconds + time.monotonic() - started)
            summary, fields = output.publish(_score_and_audit(job, output, log_every))
            return emit_finished(summary, **fields), bool(fields.get("committed", True))


@contextmanager
def storage_failures() -> Iterator[None]:
    """While it is open, raise storage errors as StorageFailedError, and lasting ones of read tasks as ConfigError."""
    try:
        yield
    except storage_errors() as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        raise StorageFailedError(
            f"the storage failed: {first_line(cause)}; finished parts are kept: run the same command to resume"
        ) from None
    except ConfigError as error:  # of a row that no later run can read; Ray adds a traceback to its text
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        raise ConfigError(first_line(cause)) from None


def _score_and_audit(job: PreparedJob, output: JobOutput, log_every: float) -> Summary:
    """Score what is left to do; return the summary of the whole job."""
    before = ResultFile.total(output.files())
    resumed, seconds, parts = len(output.staged.done), 0.0, {"prepare": job.seconds}
    if resumed < job.table.rows:
        from pipeline.scoring.dataflow import score_rows

        started = time.monotonic()
        with ray_session(job.config.ray.address):
            parts["start"], started = job.start_seconds + time.monotonic() - started, time.monotonic()
            job = output.before_reading(job)
            if len(output.staged.done) < job.table.rows:
                output.staged.parts += score_rows(job, output.staged, before, log_every, output.types)
                output.staged.filesystem.invalidate_cache()  # its listings lack the files that tasks have written
            seconds = time.monotonic() - started
    output.audit()
    rows = "images" if job.texts else "pairs"
    check_error_rate(output.judged(), job.config.max_error_rate, output.staged, rows)
    parts["rows"] = seconds
    summary = _summarise(job, ResultFile.total(output.files()), before, len(output.staged.done), seconds)
    repeated = output.staged.repeated_rows
    return replace(
        summary,
        repeated_rows=repeated,
        resumed_rows=resumed,
        parts={part: round(took, 3) for part, took in parts.items()},
    )


def _summarise(job: PreparedJob, total: ResultFile, before: ResultFile, rows_out: int, seconds: float) -> Summary:
    rejected = dict(total.errors.most_common())
    pairs, pairs_before = (one.pairs if job.texts else one.rows for one in (total, before))
    return Summary(
        tasks=list(job.config.tasks),
        output=redacted(job.config.output.path),
        rows_in=job.table.rows,
        rows_out=rows_out,
        pairs=pairs,
        scored=total.rows - sum(rejected.values()),
        rejected=rejected,
        texts_truncated=total.truncated,
        seconds=round(seconds, 3),
        pairs_per_second=round((pairs - pairs_before) / seconds, 2) if seconds else 0.0,
        model_seconds=round(total.model_seconds, 3),
        micro_batches=total.micro_batches,
        tokens=total.tokens,
        batch_fill=round(total.tokens / total.capacity, 4) if total.capacity else 0.0,
        files=[],
        lineage={**job.models.lineage, "vilt.precision": ", ".join(sorted(total.devices))},
        identity=job.identity,
        resumed_rows=0,
        input=job.config.input.stored(),
        written=written_sha256(job.config),
        command=command(),
        config=job.config.stored(),
        finished_at=round(time.time(), 3),
    )
