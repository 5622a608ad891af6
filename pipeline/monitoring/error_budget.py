"""The error budget: what is done and rejected while a job runs; a job that rejects too much is ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from pipeline.common.row_ids import shown_id
from pipeline.monitoring.metrics import BATCH_FILL, BATCH_SECONDS, MODEL_PAIRS, OK, PAIRS, ROWS, STAGE_SECONDS, TOKENS
from pipeline.monitoring.stage_timing import Watch
from vilt.common.counts import counted

JUDGED_FROM_PAIRS = 1000
EXAMPLES = 3


@dataclass(frozen=True)
class Counts:
    """What a job has counted.

    Attributes:
        rows: Rows of the input that are done, over all runs of the job.
        errors: Error code -> pairs that were rejected, over all runs of the job.
        read_pairs: Pairs that this run has read of rows that are not done yet.
        actors: Actors of this run.
        spent: Seconds at each stage in this run, summed over processes.
        examples: Error code -> the first example in this run.
    """

    rows: int
    errors: Mapping[str, int]
    read_pairs: int
    actors: int
    spent: Mapping[str, float]
    examples: Mapping[str, str]

    @property
    def rejected(self) -> int:
        """Return how many pairs were rejected."""
        return sum(self.errors.values())


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)  # its loss costs counts, never the job
class RunMonitor:
    """Counts over all actors of a run."""

    def __init__(self, max_error_rate: float, rows: int, pairs: int, errors: dict[str, int]) -> None:
        """Begin with what earlier runs of the job had done: rows of the input, pairs, and pairs of each error code."""
        self.max_error_rate, self.rows, self.pairs, self.errors = max_error_rate, rows, pairs, Counter(errors)
        self.read_pairs = 0
        self.seconds = dict[str, float]()
        self.examples: dict[str, list[str]] = {}
        self.actors: list[str] = []

    def join(self, actor: str) -> None:
        """Register an actor by its id: a handle, as long as it is held, would keep the actor alive."""
        self.actors.append(actor)

    def members(self) -> list[str]:
        """Return the ids of the actors that have joined."""
        return self.actors

    def add(
        self, rows: int, pairs: int, failed: list[tuple[str, str, str]], seconds: Mapping[str, float] | None = None
    ) -> bool:
        """Count what a micro-batch has; one call for all, since one actor counts for the whole cluster.

        Args:
            rows: Rows of the input that are done.
            pairs: Pairs.
            failed: (row_id, error code, detail) of the pairs that failed.
            seconds: Seconds at stages.

        Returns:
            Whether too many failed.
        """
        self.add_seconds(seconds or {})
        self.rows += rows
        self.pairs += pairs
        for row_id, reason, detail in failed:
            self.errors[reason] += 1
            examples = self.examples.setdefault(reason, [])
            if len(examples) < EXAMPLES:
                examples.append(f"row {row_id}: {detail}")
        return self.verdict() is not None

    def count_pairs(self, pairs: int) -> None:
        """Count pairs that were read of rows that are not done yet: an image that is ranked has many."""
        self.read_pairs += pairs

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add seconds at stages."""
        for stage, value in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value

    def counts(self) -> Counts:
        """Return what is known now."""
        first = {reason: examples[0] for reason, examples in self.examples.items()}
        return Counts(self.rows, self.errors, self.read_pairs, len(self.actors), self.seconds, first)

    def verdict(self) -> str | None:
        """Return why the job must end, in one line; None if it need not."""
        rejected = self.errors.total()
        if self.pairs < JUDGED_FROM_PAIRS or rejected <= self.max_error_rate * self.pairs:
            return None
        reason, _ = self.errors.most_common(1)[0]
        examples = self.examples.get(reason, ())
        return verdict_line(f"the first {counted(self.pairs, 'pair')}", self.errors, self.max_error_rate, examples)


def verdict_line(pairs: str, errors: Counter[str], max_error_rate: float, examples: Sequence[str]) -> str:
    """Return why a job ends, in one line.

    Args:
        pairs: What was judged, as "40 pairs".
        errors: Error code -> pairs that were rejected, one at least.
        max_error_rate: The share that may be.
        examples: Some of the pairs with the most frequent error code.
    """
    reason, count = errors.most_common(1)[0]
    shown = f", as {'; '.join(examples)}" if examples else ""
    return (
        f"max_error_rate: {errors.total():,} of {pairs} were rejected, more than {max_error_rate:.1%}; "
        f"{count:,} with {reason}{shown}; finished parts are kept: repair the table or raise max_error_rate, and run "
        "the same command again"
    )


def start_monitor(*counts: Any) -> ActorHandle:
    """Start a `RunMonitor` on the driver's node: if that is lost, the job is lost anyway; other nodes may go."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return RunMonitor.options(scheduling_strategy=here).remote(*counts)  # type: ignore[attr-defined]


class Reporter:
    """An actor's side: reports each table of results, and learns when the job must end."""

    def __init__(self, watch: Watch) -> None:
        """Register the actor."""
        self.watch, self.monitor = watch, watch.monitor
        self.last_report: ray.ObjectRef | None = None
        self.monitor.join.remote(ray.get_runtime_context().get_actor_id())

    def count_pairs(self, pairs: int) -> None:
        """Count pairs that were read."""
        self.monitor.count_pairs.remote(pairs)

    def report(self, results: pa.Table, pairs: int, tokens: int, seconds: float) -> None:
        """Count the rows of a micro-batch, and the pairs, tokens and seconds of the model.

        Raises:
            TooManyErrorsError: Too many rows are rejected; a micro-batch later than the one that exceeds the budget.
        """
        if self.last_report is not None and ray.get(self.last_report):
            raise TooManyErrorsError(ray.get(self.monitor.verdict.remote()))
        failed = results.select([ROW_ID, ERROR, DETAIL]).filter(pc.is_valid(results[ERROR]))
        ids = [shown_id(one) for one in failed[ROW_ID]]
        reasons = list(zip(ids, failed[ERROR].to_pylist(), failed[DETAIL].to_pylist(), strict=True))
        rows = results.num_rows
        if TEXT_INDEX in results.column_names:  # the second and later texts of a row are the same row
            rows -= pc.sum(pc.greater(results[TEXT_INDEX], 0)).as_py() or 0
        self.last_report = self.monitor.add.remote(rows, results.num_rows, reasons, {"model": seconds})
        self._count(rows, results.num_rows, Counter(reason for _, reason, _ in reasons))
        self._measure(pairs, tokens, seconds)

    def _count(self, rows: int, results: int, errors: Counter[str]) -> None:
        meter = self.watch.meter
        meter.add(ROWS, rows)
        for reason, count in {OK: results - errors.total(), **errors}.items():
            meter.add(PAIRS, count, outcome=reason)

    def _measure(self, pairs: int, tokens: int, seconds: float) -> None:
        meter = self.watch.meter
        meter.add(STAGE_SECONDS, seconds, stage="model")
        if pairs:
            meter.add(MODEL_PAIRS, pairs)
            meter.add(TOKENS, tokens)
            meter.observe(BATCH_SECONDS, seconds)
            if self.watch.full_batch_tokens:
                meter.observe(BATCH_FILL, tokens / self.watch.full_batch_tokens)


def end_actors(monitor: ActorHandle) -> None:
    """End every actor of the run: those of a job that failed would keep their cores and GPUs."""
    with suppress(ray.exceptions.RayError):  # the cluster may be gone
        for actor in ray.get(monitor.members.remote()):
            with suppress(ValueError):  # it has ended, and nobody holds it
                kill_actor(actor)
