"""What the driver tells while a job runs: how far it is, what is rejected, what limits it."""

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

from pipeline.common.ray_compat import ECHOING_LOGGERS
from pipeline.monitoring.error_budget import Counts
from pipeline.monitoring.events import tell
from pipeline.monitoring.metrics import ACTORS, DONE_ROWS, INPUT_ROWS, LIMITING
from pipeline.monitoring.stage_timing import STAGES, Stage, Watch, limiting

LINE_EVERY = 60.0  # seconds
GAUGES_EVERY = 5.0  # seconds; Ray forgets a gauge that is not set for 20


@dataclass(frozen=True)
class Work:
    """rows: of the whole table. pairs: that are left to read, where a row has many; then these are what is counted."""

    rows: int
    pairs: int | None = None


@contextmanager
def reported(watch: Watch, work: Work, every: float = LINE_EVERY) -> Iterator[None]:
    """While it is open: in a terminal Ray Data's progress bars; elsewhere, as from cron, events `progress`.

    every: seconds between two. They come in a terminal too where pairs are counted: the bars know only rows.
    """
    bars = work.pairs is None and sys.stderr.isatty()
    ended = threading.Event()
    thread = threading.Thread(target=Heartbeat(watch, work, every, not bars).run, args=(ended,), daemon=True)
    thread.start()
    try:
        with nullcontext() if bars else quiet():
            yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def quiet() -> Iterator[None]:
    """While it is open, Ray Data says nothing of what it does."""
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


class Heartbeat:
    """Sets the gauges, and tells the events `rejected`, once a reason, and, with `lines`, `progress`."""

    def __init__(self, watch: Watch, work: Work, every: float, lines: bool) -> None:
        self.watch, self.work, self.every, self.lines = watch, work, every, lines
        self.told: set[str] = set()

    def run(self, ended: threading.Event) -> None:
        """Until `ended`, or until the job's Ray is gone: the job itself tells what is wrong."""
        tick = min(self.every, GAUGES_EVERY)
        with suppress(ray.exceptions.RayError):
            first = last = self._counts()
            started = since = time.monotonic()
            while not ended.wait(tick):
                counts, now = self._counts(), time.monotonic()
                spent = {
                    stage: max(0.0, seconds - last.spent.get(stage, 0.0)) for stage, seconds in counts.spent.items()
                }
                limit = limiting(spent, counts.actors, now - since)
                self._set_gauges(counts, limit)
                self._tell_rejected(counts)
                if now - since > self.every - tick / 2:
                    if self.lines:
                        busy = spent.get("model", 0.0) / (counts.actors * (now - since)) if counts.actors else 0.0
                        self._tell_progress(first, counts, now - started, limit, busy, spent)
                    last, since = counts, now
            self._tell_rejected(self._counts())

    def _counts(self) -> Counts:
        return ray.get(self.watch.monitor.counts.remote())

    def _set_gauges(self, counts: Counts, limit: Stage | None) -> None:
        meter = self.watch.meter
        meter.set(ACTORS, counts.actors)
        meter.set(INPUT_ROWS, self.work.rows)
        meter.set(DONE_ROWS, counts.rows)
        for stage in STAGES:
            meter.set(LIMITING, float(stage == limit), stage=stage)

    def _tell_rejected(self, counts: Counts) -> None:
        """Each reason, when it is first seen."""
        new = {reason: example for reason, example in counts.examples.items() if reason not in self.told}
        self.told.update(new)
        for reason, example in new.items():
            text = f"rejected with {reason}, as {example}"
            tell("rejected", text, reason=reason, pairs=counts.errors[reason], example=example)

    def _tell_progress(
        self,
        first: Counts,
        counts: Counts,
        seconds: float,
        limit: Stage | None,
        busy: float,
        spent: Mapping[str, float],
    ) -> None:
        """seconds: since the start. busy: the actors' share of their time in the model. spent: since the last line."""
        rows, pairs = self.work.rows, self.work.pairs
        done, of = (counts.rows - first.rows, rows - first.rows) if pairs is None else (counts.read_pairs, pairs)
        rate = done / seconds
        left = max(0, of - done) / rate if rate else None
        share = counts.rows / rows if pairs is None else done / of if of else 1.0
        text = (
            f"{counts.rows:,} of {rows:,} rows ({share:.1%}), {rate:,.1f} {'rows' if pairs is None else 'pairs'}/s, "
            f"{'nothing done yet' if left is None else f'{_duration(left)} left'}, {counts.rejected:,} rejected, "
            f"limiting: {limit or 'not known yet'} (model {min(busy, 1):.0%} busy)"
        )
        tell(
            "progress",
            text,
            rows_done=counts.rows,
            rows=rows,
            share=round(share, 4),
            rate=round(rate, 3),
            unit="rows" if pairs is None else "pairs",
            seconds_left=None if left is None else round(left),
            rejected=counts.rejected,
            limiting=limit,
            model_busy=round(min(busy, 1), 3),
            stage_seconds={stage: round(value, 3) for stage, value in spent.items()},
        )


def _duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def without_echoes() -> Iterator[None]:
    """While it is open, Ray Data shows no errors that it raises as well: what ends a job is told once."""

    def unseen_or_milder(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or getattr(record, "hide", False)  # hidden: for its log file

    loggers = [logging.getLogger(name) for name in ECHOING_LOGGERS]
    for logger in loggers:
        logger.addFilter(unseen_or_milder)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(unseen_or_milder)
