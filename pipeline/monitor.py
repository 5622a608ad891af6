"""The count of what is done and rejected, while a job runs; it ends one that is going wrong."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import ray.exceptions
from ray._private.worker import global_worker
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.schema import DETAIL, ERROR, ROW_ID, TEXT_INDEX

JUDGED_FROM = 1000  # pairs
EXAMPLES = 3
LINE_EVERY = 60.0  # seconds
RAISED_TOO = ("ray.data.exceptions", "ray.data._internal.execution.streaming_executor_state")  # loggers


class TooManyErrorsError(RuntimeError):
    """More rows are rejected than `max_error_rate` allows."""


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)  # its loss costs counts, never the job
class Monitor:
    """Counts over all actors of a job. rows, pairs, errors: what earlier runs of it had done; rows are the input's."""

    def __init__(self, max_error_rate: float, rows: int, pairs: int, errors: dict[str, int]) -> None:
        self.max_error_rate, self.rows, self.pairs, self.errors = max_error_rate, rows, pairs, Counter(errors)
        self.read_pairs = 0
        self.examples: dict[str, list[str]] = {}
        self.actors: list[str] = []

    def join(self, actor: str) -> None:
        """An actor of the job reports its id: a handle, as long as it is held, would keep the actor in its place."""
        self.actors.append(actor)

    def members(self) -> list[str]:
        """The ids of the actors that have joined."""
        return self.actors

    def add(self, rows: int, pairs: int, failed: list[tuple[int, str, str]]) -> bool:
        """Count rows, pairs, and those that failed: (row_id, reason, detail). Whether there are too many."""
        self.rows += rows
        self.pairs += pairs
        for row_id, reason, detail in failed:
            self.errors[reason] += 1
            some = self.examples.setdefault(reason, [])
            if len(some) < EXAMPLES:
                some.append(f"row {row_id}: {detail}")
        return self.verdict() is not None

    def read(self, pairs: int) -> None:
        """Count pairs that were read of rows that are not done yet: of an image that is ranked there are many."""
        self.read_pairs += pairs

    def counts(self) -> tuple[int, int, int]:
        """Rows of the input that are done, pairs that were rejected, and pairs that were read."""
        return self.rows, self.errors.total(), self.read_pairs

    def verdict(self) -> str | None:
        """Why the job must end, in one line; None where it need not."""
        rejected = self.errors.total()
        if self.pairs < JUDGED_FROM or rejected <= self.max_error_rate * self.pairs:
            return None
        reason, count = self.errors.most_common(1)[0]
        examples = "; ".join(self.examples.get(reason, ()))
        return (
            f"max_error_rate: {rejected:,} of the first {self.pairs:,} pairs were rejected, more than "
            f"{self.max_error_rate:.1%}; {count:,} with {reason}, as {examples}"
        )


def start_monitor(*counts: Any) -> ActorHandle:
    """A `Monitor` on the driver's own node, without which there is no job anyway: the loss of another cannot end it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Monitor.options(scheduling_strategy=here).remote(*counts)  # type: ignore[attr-defined]


class Reporter:
    """An actor's side: reports each table of results, and learns when the job must end."""

    def __init__(self, monitor: ActorHandle) -> None:
        self.monitor = monitor
        self.last: ray.ObjectRef | None = None
        monitor.join.remote(ray.get_runtime_context().get_actor_id())

    def read(self, pairs: int) -> None:
        """Count pairs that were read."""
        self.monitor.read.remote(pairs)

    def report(self, results: pa.Table) -> None:
        """Count the rows of a micro-batch. Raises TooManyErrorsError, a micro-batch later, where they are too many."""
        if self.last is not None and ray.get(self.last):
            raise TooManyErrorsError(ray.get(self.monitor.verdict.remote()))
        failed = results.select([ROW_ID, ERROR, DETAIL]).filter(pc.is_valid(results[ERROR]))
        reasons = list(zip(*(column.to_pylist() for column in failed.columns), strict=True))
        rows = results.num_rows
        if TEXT_INDEX in results.column_names:  # the second and later texts of a row are the same row
            rows -= pc.sum(pc.greater(results[TEXT_INDEX], 0)).as_py() or 0
        self.last = self.monitor.add.remote(rows, results.num_rows, reasons)


def end_actors(monitor: ActorHandle) -> None:
    """End every actor of the job: those of a job that failed would keep their cores and GPUs."""
    with suppress(ray.exceptions.RayError):  # of a cluster that is gone
        for actor in ray.get(monitor.members.remote()):
            with suppress(ValueError):  # it has ended, and nobody holds it
                ray.kill(global_worker.core_worker.get_actor_handle(ray.ActorID.from_hex(actor)))


@contextmanager
def reported(monitor: ActorHandle, rows: int, pairs: int | None = None) -> Iterator[None]:
    """While it is open: in a terminal Ray Data's progress bars; elsewhere, as from cron, a line a minute on stderr.

    rows: of the whole table. pairs: that are left to read, where a row has many; then the lines count these, and they
    come in a terminal too, whose bars know only rows.
    """
    if pairs is None and sys.stderr.isatty():
        yield
        return
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.WARNING)
    ended = threading.Event()
    thread = threading.Thread(target=_print_lines, args=(monitor, rows, pairs, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        context.enable_progress_bars = bars
        logger.setLevel(level)


@contextmanager
def without_echoes() -> Iterator[None]:
    """While it is open, Ray Data shows no errors that it raises as well: what ends a job is told once."""

    def unseen_or_milder(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or getattr(record, "hide", False)  # hidden: for its log file

    loggers = [logging.getLogger(name) for name in RAISED_TOO]
    for logger in loggers:
        logger.addFilter(unseen_or_milder)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(unseen_or_milder)


def _print_lines(monitor: ActorHandle, rows: int, pairs: int | None, ended: threading.Event) -> None:
    with suppress(ray.exceptions.RayError):  # the job itself tells what is wrong
        first, *_ = ray.get(monitor.counts.remote())
        started = time.monotonic()
        while not ended.wait(LINE_EVERY):
            done, rejected, read = ray.get(monitor.counts.remote())
            finished, all_work = (done - first, rows - first) if pairs is None else (read, pairs)
            rate = finished / (time.monotonic() - started)
            left = f"{max(0, all_work - finished) / rate / 3600:.1f} h left" if rate else "nothing done yet"
            unit = "a second" if pairs is None else "pairs a second"
            line = f"{done:,} of {rows:,} rows, {rate:,.1f} {unit}, {left}, {rejected:,} rejected"
            print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)
