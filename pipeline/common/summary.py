"""The summary of a job: what it read, wrote and rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.common.tasks import Task


@dataclass(frozen=True)
class Summary:
    """What a job did, over all its runs.

    seconds: of the run that finished it, from the start of the flow to its end, model loading included;
    `pairs_per_second` is that run's. resumed_rows: of the input, that earlier runs had done. input: the section of the
    config. finished_before: nothing was left to do.
    """

    tasks: list[Task]
    output: str
    rows_in: int
    rows_out: int
    pairs: int
    scored: int
    rejected: dict[str, int]
    seconds: float
    pairs_per_second: float
    model_seconds: float
    micro_batches: int
    tokens: int
    batch_fill: float
    files: list[str]
    lineage: dict[str, str]
    identity: dict[str, str]
    resumed_rows: int
    input: dict[str, Any] = field(default_factory=dict)
    finished_before: bool = False
