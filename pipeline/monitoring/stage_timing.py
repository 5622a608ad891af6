"""What the processes of a job report while it runs: to Prometheus, and to the driver, which tells what is limiting."""

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
    """A run that is watched. tokens: of a full micro-batch; 0 where that says nothing."""

    monitor: ActorHandle
    meter: Meter
    tokens: int = 0

    def spent(self, **seconds: float) -> None:
        """Count seconds at stages: those of `STAGES`, and `waiting`, of read tasks that are held back."""
        for stage, value in seconds.items():
            self.meter.add(STAGE_SECONDS, value, stage=stage)
        self.monitor.spent.remote(seconds)

    def wrote(self, rows: int, size: int, seconds: float) -> None:
        """Count a file of results; size: bytes."""
        self.meter.add(WRITTEN_ROWS, rows)
        self.meter.add(WRITTEN_FILES, 1)
        self.meter.add(WRITTEN_BYTES, size)
        self.spent(writing=seconds)


class Stopwatch:
    """Seconds, piece by piece."""

    def __init__(self) -> None:
        self.since = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap, or since it was made."""
        before, self.since = self.since, time.monotonic()
        return self.since - before


def limiting(spent: Mapping[str, float], actors: int, seconds: float) -> Stage | None:
    """The stage that limits a job, by what its processes did during the last `seconds`; None where nothing is known.

    spent: seconds at each stage, summed over processes. Actors that are at work nearly all the time limit. Where they
    are not, files do that take longer than either the model or all that comes before it; or, where read tasks are
    mostly held back, actors that are still loading; else what takes most of the read tasks' time.
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
