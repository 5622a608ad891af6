"""Estimate how long a job will take, from the stages' seconds a row in a sample, and from the machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.planning.timings import Timings

Stage = Literal["reading", "fetching", "decoding", "model", "writing"]
BEFORE_MODEL: tuple[Stage, ...] = ("reading", "fetching", "decoding")
RESAMPLES = 1000


@dataclass(frozen=True)
class Machines:
    """The machines that a job runs on.

    Attributes:
        actors: Actors that host the model.
        threads: Cores of each actor.
        slots: Tasks of reading and decoding at a time.
        cores: All cores.
    """

    actors: int
    threads: int
    slots: int
    cores: int

    @property
    def shared(self) -> bool:
        """Return whether reading and decoding run on the model's cores, too."""
        return self.actors * self.threads + self.slots > self.cores


@dataclass(frozen=True)
class Estimate:
    """The time that a job takes.

    Attributes:
        seconds: The whole job, from the start of the flow to its end.
        low: Lower end of a 95 % interval over resamples of the timings; it says nothing of other machines.
        high: Upper end.
        start: Seconds of it that are over when the model begins.
        limit: The stage that decides.
        rates: The rows a second that each stage allows, those before the model together.
        cores_per_actor: With so many cores for each actor, its own included, reading and decoding keep up.
    """

    seconds: float
    low: float
    high: float
    start: float
    limit: Stage
    rates: dict[Stage, float]
    cores_per_actor: float


def estimate(
    timings: Mapping[Stage, Timings], rows: int, start_seconds: float, machines: Machines, seed: int = 0
) -> Estimate:
    """Estimate the time of a job.

    The stages work at the same time, so the slowest decides. The interval comes from drawing each stage's timings again
    with replacement, `RESAMPLES` times: it knows how rows differ, not how other machines differ from this one.

    Args:
        timings: What each stage took in the sample.
        rows: Rows of the job.
        start_seconds: Time until the model begins.
        machines: What the job will run on.
        seed: The seed of the resampling.
    """
    per_row = {stage: one.per_row for stage, one in timings.items()}
    bounds = _bounds(per_row, machines)
    limit = max(bounds, key=lambda stage: bounds[stage])
    rng = np.random.default_rng(seed)
    resamples = [
        start_seconds
        + rows * max(_bounds({stage: one.resampled(rng).per_row for stage, one in timings.items()}, machines).values())
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(resamples, (2.5, 97.5))
    return Estimate(
        seconds=start_seconds + rows * bounds[limit],
        low=float(low),
        high=float(high),
        start=start_seconds,
        limit=limit,
        rates={stage: 1 / seconds if seconds else float("inf") for stage, seconds in bounds.items()},
        cores_per_actor=machines.threads + (_before_model(per_row) / per_row["model"] if per_row["model"] else 0.0),
    )


def _before_model(per_row: Mapping[Stage, float]) -> float:
    """Return the seconds a row before the model."""
    return sum(per_row[stage] for stage in BEFORE_MODEL)


def _bounds(per_row: Mapping[Stage, float], machines: Machines) -> dict[Stage, float]:
    """Return the least seconds a row that the stages allow.

    Reading, fetching and decoding run in the same slots; the largest of them gives its name to all. If they share cores
    with the model, no schedule is faster than all their work spread over all cores, and the larger of the two limits.
    """
    largest = max(BEFORE_MODEL, key=lambda stage: per_row[stage])
    before, model = _before_model(per_row), per_row["model"]
    bounds: dict[Stage, float] = {
        largest: before / machines.slots,
        "model": model / machines.actors,
        "writing": per_row["writing"],
    }
    if machines.shared:
        core_seconds = before + model * machines.threads
        busiest: Stage = "model" if model * machines.threads >= before else largest
        bounds[busiest] = max(bounds[busiest], core_seconds / machines.cores)
    return bounds
