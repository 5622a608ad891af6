"""What the driver reports while a job runs: how far it is, what is rejected, which stage limits it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import ray
import ray.exceptions

from pipeline.common.ray_compat import ECHOING_LOGGERS, spilled_bytes
from pipeline.monitoring.error_budget import Counts
from pipeline.monitoring.events import emit
from pipeline.monitoring.metrics import ACTORS, DONE_ROWS, INPUT_ROWS, LIMITING
from pipeline.monitoring.stage_timing import STAGES, Stage, Watch, limiting
from vilt.common.counts import counted

LOG_EVERY = 60.0  # seconds
GAUGES_EVERY = 5.0  # seconds; Ray forgets a gauge that is not set for 20


@dataclass(frozen=True)
class Goal:
    """How much there is to do.

    Attributes:
        rows: Rows of the whole table.
        pairs: Pairs that are left to read, if each row has many; then pairs are counted, not rows.
    """

    rows: int
    pairs: int | None = None


@contextmanager
def reported(watch: Watch, goal: Goal, log_every: float = LOG_EVERY) -> Iterator[None]:
    """Report progress while it is open: Ray Data's progress bars in a terminal, else events `progress`.

    Events come in a terminal too when pairs are counted: the bars know only rows.

    Args:
        watch: The run.
        goal: How much there is to do.
        log_every: Seconds between two events.
    """
    bars = goal.pairs is None and sys.stderr.isatty()
    ended = threading.Event()
    reporter = ProgressReporter(watch, goal, log_every, emits_progress=not bars)
    thread = threading.Thread(target=reporter.run, args=(ended,), daemon=True)
    thread.start()
    try:
        with nullcontext() if bars else quiet():
            yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Ray Data from reporting what it does while it is open."""
    from ray.data import DataContext

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)


class ProgressReporter:
    """Sets the gauges, and emits the events `rejected`, once an error code, and `progress`."""

    def __init__(self, watch: Watch, goal: Goal, log_every: float, emits_progress: bool) -> None:
        """Report on a run; see `reported`."""
        self.watch, self.goal, self.log_every, self.emits_progress = watch, goal, log_every, emits_progress
        self.reasons_seen: set[str] = set()
        self.spilled_before = spilled_bytes()
        self.spilled_said = False

    def run(self, ended: threading.Event) -> None:
        """Report until `ended`, or until the job's Ray is gone: the job itself reports what is wrong."""
        tick = min(self.log_every, GAUGES_EVERY)
        with suppress(ray.exceptions.RayError):
            first = last = self._counts()
            started = last_at = time.monotonic()
            while not ended.wait(tick):
                counts, now = self._counts(), time.monotonic()
                interval = Interval.between(last, counts, now - last_at)
                self._set_gauges(counts, interval.limit)
                self._emit_rejected(counts)
                if now - last_at > self.log_every - tick / 2:
                    if self.emits_progress:
                        self._emit_progress(first, counts, now - started, interval)
                    self._emit_spilled()
                    last, last_at = counts, now
            self._emit_rejected(self._counts())
            self._emit_spilled()

    def _counts(self) -> Counts:
        counts: Counts = ray.get(self.watch.monitor.counts.remote())
        return counts

    def _set_gauges(self, counts: Counts, limit: Stage | None) -> None:
        meter = self.watch.meter
        meter.set(ACTORS, counts.actors)
        meter.set(INPUT_ROWS, self.goal.rows)
        meter.set(DONE_ROWS, counts.rows)
        for stage in STAGES:
            meter.set(LIMITING, float(stage == limit), stage=stage)

    def _emit_rejected(self, counts: Counts) -> None:
        """Emit each error code when it is first seen."""
        new = {reason: example for reason, example in counts.examples.items() if reason not in self.reasons_seen}
        self.reasons_seen.update(new)
        for reason, example in new.items():
            text = f"rejected with {reason}, as {example}"
            emit("rejected", text, reason=reason, pairs=counts.errors[reason], example=example)

    def _emit_spilled(self) -> None:
        """Emit a warning, once, if the object stores of the cluster are too small for the job."""
        spilled = spilled_bytes() - self.spilled_before
        if spilled > 0 and not self.spilled_said:
            self.spilled_said = True
            emit(
                "warning",
                f"ray: {spilled / 2**20:,.0f} MiB were spilled from the object store to disk, which takes time and "
                "space there: give Ray a larger one (--object-store-memory), or set batch.tokens or "
                "batch.block_bytes lower",
                logging.WARNING,
                spilled_bytes=spilled,
            )

    def _emit_progress(self, first: Counts, counts: Counts, seconds: float, interval: Interval) -> None:
        """Emit `progress`. first: the counts at the start of the run, `seconds` ago."""
        rows, pairs = self.goal.rows, self.goal.pairs
        done, of = (counts.rows - first.rows, rows - first.rows) if pairs is None else (counts.read_pairs, pairs)
        rate = done / seconds
        left = max(0, of - done) / rate if rate else None
        share = counts.rows / rows if pairs is None else done / of if of else 1.0
        unit = "rows" if pairs is None else "pairs"
        text = (
            f"{counts.rows:,} of {counted(rows, 'row')} ({share:.1%}), {rate:,.1f} {unit}/s, "
            f"{'nothing done yet' if left is None else f'{_duration(left)} left'}, {counts.rejected:,} rejected, "
            f"limiting: {interval.limit or 'not known yet'} (model {interval.model_busy:.0%} busy)"
        )
        emit(
            "progress",
            text,
            rows_done=counts.rows,
            rows=rows,
            share=round(share, 4),
            rate=round(rate, 3),
            unit=unit,
            seconds_left=None if left is None else round(left),
            rejected=counts.rejected,
            limiting=interval.limit,
            model_busy=round(interval.model_busy, 3),
            stage_seconds={stage: round(value, 3) for stage, value in interval.spent.items()},
        )


@dataclass(frozen=True)
class Interval:
    """What the processes of a run did between two looks at it.

    Attributes:
        spent: Seconds at each stage, summed over processes.
        limit: The stage that limits; None if nothing is known.
        model_busy: The actors' share of their time in the model, 0 to 1.
    """

    spent: Mapping[str, float]
    limit: Stage | None
    model_busy: float

    @classmethod
    def between(cls, before: Counts, now: Counts, seconds: float) -> Interval:
        """Return what happened between two counts, `seconds` apart."""
        spent = {stage: max(0.0, value - before.spent.get(stage, 0.0)) for stage, value in now.spent.items()}
        busy = spent.get("model", 0.0) / (now.actors * seconds) if now.actors else 0.0
        return cls(spent, limiting(spent, now.actors, seconds), min(busy, 1.0))


def _duration(seconds: float) -> str:
    """Return a duration in the unit that a person would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def without_echoes() -> Iterator[None]:
    """Hide the errors that Ray Data logs and raises as well while it is open: what ends a job is reported once."""

    def is_shown(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or getattr(record, "hide", False)  # hidden: for Ray's log file

    loggers = [logging.getLogger(name) for name in ECHOING_LOGGERS]
    for logger in loggers:
        logger.addFilter(is_shown)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_shown)
