"""The count of what is done and rejected, while a job runs; it ends one that is going wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.exceptions
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.common.columns import DETAIL, ERROR, ROW_ID, TEXT_INDEX
from pipeline.common.errors import TooManyErrorsError
from pipeline.common.ray_compat import kill_actor
from pipeline.monitoring.metrics import BATCH_FILL, BATCH_SECONDS, MODEL_PAIRS, OK, PAIRS, ROWS, TOKENS
from pipeline.monitoring.stage_timing import Watch

JUDGED_FROM = 1000  # pairs
EXAMPLES = 3


@dataclass(frozen=True)
class Counts:
    """Of all runs of a job: rows of the input that are done, and reason -> pairs that were rejected. Of this run: pairs
    that were read of rows that are not done, actors, seconds at each stage, and reason -> first example."""

    rows: int
    errors: Mapping[str, int]
    read_pairs: int
    actors: int
    spent: Mapping[str, float]
    examples: Mapping[str, str]

    @property
    def rejected(self) -> int:
        """Pairs."""
        return sum(self.errors.values())


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)  # its loss costs counts, never the job
class Monitor:
    """Counts over all actors of a job. rows, pairs, errors: what earlier runs of it had done; rows are the input's."""

    def __init__(self, max_error_rate: float, rows: int, pairs: int, errors: dict[str, int]) -> None:
        self.max_error_rate, self.rows, self.pairs, self.errors = max_error_rate, rows, pairs, Counter(errors)
        self.read_pairs = 0
        self.seconds = dict[str, float]()
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

    def spent(self, seconds: Mapping[str, float]) -> None:
        """Add seconds at stages."""
        for stage, value in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value

    def counts(self) -> Counts:
        """What is known now."""
        first = {reason: some[0] for reason, some in self.examples.items()}
        return Counts(self.rows, self.errors, self.read_pairs, len(self.actors), self.seconds, first)

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

    def __init__(self, watch: Watch) -> None:
        self.watch, self.monitor = watch, watch.monitor
        self.last: ray.ObjectRef | None = None
        self.monitor.join.remote(ray.get_runtime_context().get_actor_id())

    def read(self, pairs: int) -> None:
        """Count pairs that were read."""
        self.monitor.read.remote(pairs)

    def report(self, results: pa.Table, pairs: int, tokens: int, seconds: float) -> None:
        """Count the rows of a micro-batch, and the pairs, tokens and seconds of the model.

        Raises TooManyErrorsError, a micro-batch later, where too many rows are rejected.
        """
        if self.last is not None and ray.get(self.last):
            raise TooManyErrorsError(ray.get(self.monitor.verdict.remote()))
        failed = results.select([ROW_ID, ERROR, DETAIL]).filter(pc.is_valid(results[ERROR]))
        reasons = list(zip(*(column.to_pylist() for column in failed.columns), strict=True))
        rows = results.num_rows
        if TEXT_INDEX in results.column_names:  # the second and later texts of a row are the same row
            rows -= pc.sum(pc.greater(results[TEXT_INDEX], 0)).as_py() or 0
        self.last = self.monitor.add.remote(rows, results.num_rows, reasons)
        self._measure(rows, results.num_rows, Counter(reason for _, reason, _ in reasons), pairs, tokens, seconds)

    def _measure(self, rows: int, results: int, errors: Counter[str], pairs: int, tokens: int, seconds: float) -> None:
        meter = self.watch.meter
        meter.add(ROWS, rows)
        for reason, count in {OK: results - errors.total(), **errors}.items():
            meter.add(PAIRS, count, outcome=reason)
        self.watch.spent(model=seconds)
        if pairs:
            meter.add(MODEL_PAIRS, pairs)
            meter.add(TOKENS, tokens)
            meter.observe(BATCH_SECONDS, seconds)
            if self.watch.tokens:
                meter.observe(BATCH_FILL, tokens / self.watch.tokens)


def end_actors(monitor: ActorHandle) -> None:
    """End every actor of the job: those of a job that failed would keep their cores and GPUs."""
    with suppress(ray.exceptions.RayError):  # of a cluster that is gone
        for actor in ray.get(monitor.members.remote()):
            with suppress(ValueError):  # it has ended, and nobody holds it
                kill_actor(actor)
