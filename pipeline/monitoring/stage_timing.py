"""Stage timings: what the processes of a job report while it runs, and which stage limits it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ray.actor import ActorHandle

from pipeline.monitoring.metrics import STAGE_SECONDS, WRITTEN_BYTES, WRITTEN_FILES, WRITTEN_ROWS, Meter

Stage = Literal["reading", "fetching", "decoding", "model", "writing"]
STAGES: tuple[Stage, ...] = ("reading", "fetching", "decoding", "model", "writing")
BUSY = 0.8  # share of its time in which an actor that limits is at work


@dataclass(frozen=True)
class Watch:
    """Where the processes of a run report.

    Attributes:
        monitor: The run's `RunMonitor`.
        meter: The run's metrics.
        full_batch_tokens: Tokens of a full micro-batch; 0 if the fill of batches says nothing.
    """

    monitor: ActorHandle
    meter: Meter
    full_batch_tokens: int = 0

    def spent(self, **seconds: float) -> None:
        """Count seconds at stages: those of `STAGES`, and `waiting`, when read tasks are held back."""
        for stage, value in seconds.items():
            self.meter.add(STAGE_SECONDS, value, stage=stage)
        self.monitor.add_seconds.remote(seconds)

    def wrote(self, rows: int, size: int, seconds: float) -> None:
        """Count a file of results: its rows, its bytes, the seconds that writing took."""
        self.meter.add(WRITTEN_ROWS, rows)
        self.meter.add(WRITTEN_FILES, 1)
        self.meter.add(WRITTEN_BYTES, size)
        self.spent(writing=seconds)


class Stopwatch:
    """A clock that is read lap by lap."""

    def __init__(self) -> None:
        """Start the first lap."""
        self.lap_started = time.monotonic()

    def lap(self) -> float:
        """Return the seconds of this lap, and start the next."""
        started, self.lap_started = self.lap_started, time.monotonic()
        return self.lap_started - started


def limiting(spent: Mapping[str, float], actors: int, seconds: float) -> Stage | None:
    """Return the stage that limits a job, from what its processes did lately; None if nothing is known.

    Actors that work nearly all the time limit. If they do not, writing limits if it takes longer than either the model
    or all stages before it. If read tasks are mostly held back, actors that are still loading limit. Else it is the
    stage that takes most of the read tasks' time.

    Args:
        spent: Seconds at each stage, summed over processes.
        actors: How many actors there are.
        seconds: The length of the period.
    """
    reading: dict[Stage, float] = {name: spent.get(name, 0.0) for name in STAGES[:3]}
    model, writing, waiting = (spent.get(name, 0.0) for name in ("model", "writing", "waiting"))
    if actors and model >= BUSY * actors * seconds:
        return "model"
    if writing > max(model, sum(reading.values())):
        return "writing"
    if model + waiting > 0 and waiting >= sum(reading.values()):
        return "model"
    slowest, most = max(reading.items(), key=lambda item: item[1])
    return slowest if most else None
