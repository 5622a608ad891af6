"""How long a job will take: the stages' seconds a row, from a sample, and the machines that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.tables.sampling import Timed

Stage = Literal["reading", "fetching", "decoding", "model", "writing"]
BEFORE_MODEL: tuple[Stage, ...] = ("reading", "fetching", "decoding")
RESAMPLES = 1000


@dataclass(frozen=True)
class Machines:
    """What a job runs on.

    actors; threads: cores that each holds; slots: tasks of reading and decoding at a time; cores: all that there are.
    Where they are `shared`, decoding and the model must have been timed together.
    """

    actors: int
    threads: int
    slots: int
    cores: int

    @property
    def shared(self) -> bool:
        """Whether decoding runs on the model's cores, too."""
        return self.actors * self.threads + self.slots > self.cores


@dataclass(frozen=True)
class Pipeline:
    """What the job's own shape adds. import_seconds, load_seconds: of a process, and of the model. window_rows,
    batch_rows: rows of a window, and of a micro-batch."""

    import_seconds: float
    load_seconds: float
    window_rows: int
    batch_rows: int


@dataclass(frozen=True)
class Estimate:
    """seconds: of the whole job, from the start of the flow; low, high: what 95 % of resamples of the timed pieces
    give, which says nothing of other machines; start: what of it is over
    when the first row comes.

    limit: the stage that decides. rates: the rows a second that each stage allows, those before the model together.
    cores_per_actor: with so many cores for each actor, its own included, reading and decoding keep up with the model.
    """

    seconds: float
    low: float
    high: float
    start: float
    limit: Stage
    rates: dict[Stage, float]
    cores_per_actor: float


def estimate(
    timed: Mapping[Stage, Timed], rows: int, pipeline: Pipeline, machines: Machines, seed: int = 0
) -> Estimate:
    """The time of a job over `rows` rows.

    The stages work at once, so the slowest decides; before it comes the start, and the first window on its way to the
    model and the last micro-batch in it are worked on alone. The range: for each stage the timed pieces of work are
    drawn again with replacement, `RESAMPLES` times; it knows how rows differ, not how this machine differs from others.
    """
    per_row = {stage: one.per_row for stage, one in timed.items()}
    bounds = _bounds(per_row, machines)
    limit = max(bounds, key=lambda name: bounds[name])
    rng = np.random.default_rng(seed)
    drawn = [
        _seconds({stage: _again(one, rng) for stage, one in timed.items()}, rows, pipeline, machines)
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    needed = machines.threads + (_before_model(per_row) / per_row["model"] if per_row["model"] else 0.0)
    rates = {name: 1 / seconds if seconds else float("inf") for name, seconds in bounds.items()}
    total = _seconds(per_row, rows, pipeline, machines)
    return Estimate(total, float(low), float(high), _start(pipeline, machines), limit, rates, needed)


def _seconds(per_row: Mapping[Stage, float], rows: int, pipeline: Pipeline, machines: Machines) -> float:
    alone = min(rows, pipeline.window_rows) * _before_model(per_row) + min(rows, pipeline.batch_rows) * per_row["model"]
    return _start(pipeline, machines) + alone + rows * max(_bounds(per_row, machines).values())


def _start(pipeline: Pipeline, machines: Machines) -> float:
    """Every process imports torch, on a core each: the actors', and those that read and decode. Those that only watch
    have less to import, together about as much as one more."""
    processes = machines.actors + machines.slots + 1
    return pipeline.import_seconds * max(1.0, processes / machines.cores) + pipeline.load_seconds


def _before_model(per_row: Mapping[Stage, float]) -> float:
    """Seconds a row."""
    return sum(per_row[stage] for stage in BEFORE_MODEL)


def _bounds(per_row: Mapping[Stage, float], machines: Machines) -> dict[Stage, float]:
    """The least seconds a row that the stages allow.

    Reading, fetching and decoding run in the same slots; what is named is the largest of them.
    """
    largest = max(BEFORE_MODEL, key=lambda stage: per_row[stage])
    return {
        largest: _before_model(per_row) / machines.slots,
        "model": per_row["model"] / machines.actors,
        "writing": per_row["writing"],
    }


def _again(timed: Timed, rng: np.random.Generator) -> float:
    """Seconds a row of as many pieces of work, drawn again."""
    if not len(timed.rows):
        return 0.0
    drawn = rng.integers(len(timed.rows), size=len(timed.rows))
    return Timed(timed.rows[drawn], timed.seconds[drawn]).per_row
