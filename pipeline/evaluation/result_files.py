"""What an evaluation writes of its results: JSON for programs, a picture for both."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from pipeline.config.evaluate import BootstrapConfig
from pipeline.evaluation.output import Measured


def to_json(measured: Sequence[Measured], bootstrap: BootstrapConfig) -> bytes:
    """Return the content of `evaluation.json`: for each benchmark its metrics, 0 to 1, and what they rest on."""
    return json.dumps(measured_values(measured, bootstrap), indent=2).encode() + b"\n"


def measured_values(measured: Sequence[Measured], bootstrap: BootstrapConfig) -> dict[str, Any]:
    """Return the results as JSON values."""
    benchmarks = {
        one.benchmark: {
            "metrics": {
                metric.name: {k: v for k, v in asdict(metric).items() if k != "name"} for metric in one.metrics
            },
            "rejected": dict(one.rejected),
            "missing": one.missing,
            "lineage": dict(one.lineage),
            "files": one.files,
        }
        for one in measured
    }
    return {"benchmarks": benchmarks, "bootstrap": {"interval": 0.95, **bootstrap.model_dump()}}


def to_png(measured: Sequence[Measured]) -> bytes:
    """Return a PNG with a panel for each benchmark: its metrics as points, their intervals as bars."""
    shown = [one for one in measured if one.metrics]  # at least one
    rows = [len(one.metrics) for one in shown]
    figure = Figure(figsize=(7, 0.8 * len(shown) + 0.35 * sum(rows)), layout="constrained")
    grid = figure.add_gridspec(len(shown), height_ratios=rows)
    for row, one in enumerate(shown):
        axes = figure.add_subplot(grid[row])
        values = [100 * metric.value for metric in one.metrics]
        spread = [
            [100 * max(0.0, metric.value - metric.low) for metric in one.metrics],
            [100 * max(0.0, metric.high - metric.value) for metric in one.metrics],
        ]
        lines = range(len(values))
        axes.errorbar(values, lines, xerr=spread, fmt="o", capsize=3)
        for line, value in zip(lines, values, strict=True):
            axes.annotate(f"{value:.1f}", (value, line), xytext=(0, 5), textcoords="offset points", ha="center")
        axes.set_yticks(lines, [metric.name for metric in one.metrics])
        axes.set_ylim(len(values) - 0.4, -0.8)
        axes.set_xlim(0, 104)
        axes.set_title(one.benchmark, loc="left")
        axes.set_xlabel("%")
        axes.grid(axis="x", alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
