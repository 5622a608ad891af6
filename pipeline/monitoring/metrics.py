"""Metrics of a running job for Prometheus: every metric's name, type, unit and labels, and how to count.

Ray's agent on each node exports them with the prefix `ray_`; a counter survives its process, a gauge does not. They
count work: what a killed task did, and the task that replaced it does again, counts twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ray.util import metrics as ray_metrics

SHARED_LABELS = ("task", "run")  # Prometheus keeps the name `job` for itself
PREFIX = "ray_"
OK = "ok"  # the outcome of a pair that was not rejected


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name, without `PREFIX`.
        kind: Its type.
        unit: Its unit.
        labels: Its labels besides `SHARED_LABELS`.
        meaning: What it counts, for documents.
        boundaries: Upper ends of a histogram's buckets.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    meaning: str
    boundaries: tuple[float, ...] = ()


def _counter(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"vilt_{name}_total", "counter", unit, labels, meaning)


def _gauge(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"vilt_{name}", "gauge", unit, labels, meaning)


ROWS = _counter("rows", "rows", "rows of the input that the model stage has finished")
PAIRS = _counter("pairs", "pairs", "rows of the output; outcome is ok, or why the pair was rejected", "outcome")
READ_BYTES = _counter("read_bytes", "bytes", "rows of the table in memory, as they were read")
FETCHED_BYTES = _counter("fetched_bytes", "bytes", "encoded images that were fetched by URI")
STAGE_SECONDS = _counter(
    "stage_seconds",
    "seconds",
    "time at a stage, summed over processes: reading (the table), fetching (images by URI), decoding, waiting (read "
    "tasks that are held back by what comes after them), model, writing",
    "stage",
)
MODEL_PAIRS = _counter("model_pairs", "pairs", "pairs that the model read")
TOKENS = _counter("tokens", "tokens", "tokens that the model read, of texts and images")
WRITTEN_ROWS = _counter("written_rows", "rows", "rows of the output in files that are written")
WRITTEN_FILES = _counter("written_files", "files", "files of results")
WRITTEN_BYTES = _counter("written_bytes", "bytes", "files of results")
BATCH_FILL = Metric(
    "vilt_batch_fill_ratio",
    "histogram",
    "ratio",
    (),
    "tokens of a micro-batch, of the most that it could hold",
    tuple(n / 10 for n in range(1, 11)),
)
BATCH_SECONDS = Metric(
    "vilt_batch_seconds",
    "histogram",
    "seconds",
    (),
    "time of a micro-batch in the model",
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0),
)
ACTORS = _gauge("actors", "actors", "actors that host the model")
INPUT_ROWS = _gauge("input_rows", "rows", "rows of the whole table")
DONE_ROWS = _gauge("done_rows", "rows", "rows of the table that are done, those of earlier runs included")
LIMITING = _gauge("limiting", "1", "1 for the stage that limits the job now, 0 for the others", "stage")

METRICS = (
    *(ROWS, PAIRS, READ_BYTES, FETCHED_BYTES, STAGE_SECONDS, MODEL_PAIRS, TOKENS),
    *(WRITTEN_ROWS, WRITTEN_FILES, WRITTEN_BYTES, BATCH_FILL, BATCH_SECONDS),
    *(ACTORS, INPUT_ROWS, DONE_ROWS, LIMITING),
)


@dataclass(frozen=True)
class Meter:
    """Count for one run of a job, in any process.

    Attributes:
        task: The names of the job's tasks.
        run: The id of the run.
    """

    task: str
    run: str

    def add(self, counter: Metric, value: float, **labels: str) -> None:
        """Add to a counter if the value is more than 0."""
        if value > 0:
            _instrument(counter).inc(value, self._tags(labels))

    def set(self, gauge: Metric, value: float, **labels: str) -> None:
        """Set a gauge; Ray forgets it unless it is set again within two export intervals, 20 seconds by default."""
        _instrument(gauge).set(value, self._tags(labels))

    def observe(self, histogram: Metric, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        _instrument(histogram).observe(value, self._tags(labels))

    def _tags(self, labels: dict[str, str]) -> dict[str, str]:
        return {"task": self.task, "run": self.run, **labels}


@cache
def _instrument(metric: Metric) -> Any:
    """Return Ray's metric, one a process: tasks come and go in it."""
    tags = (*SHARED_LABELS, *metric.labels)
    if metric.kind == "histogram":
        return ray_metrics.Histogram(metric.name, metric.meaning, list(metric.boundaries), tags)
    kind = ray_metrics.Counter if metric.kind == "counter" else ray_metrics.Gauge
    return kind(metric.name, metric.meaning, tags)
