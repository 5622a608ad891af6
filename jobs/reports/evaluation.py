"""What an evaluation tells: a table for a person, JSON for programs, a picture for both."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.figure import Figure

from pipeline.common.error_codes import REASONS
from pipeline.config.evaluate import BootstrapConfig
from pipeline.evaluation.files import Measured


def to_json(measured: Sequence[Measured], bootstrap: BootstrapConfig) -> bytes:
    """`evaluation.json`: of each benchmark its metrics, 0 to 1, and what they rest on."""
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
    drawn = {"interval": 0.95, **bootstrap.model_dump()}
    return json.dumps({"benchmarks": benchmarks, "bootstrap": drawn}, indent=2).encode() + b"\n"


def to_text(measured: Sequence[Measured], files: Sequence[str]) -> str:
    """A line for each metric, then what was rejected and written."""
    rows = [("benchmark", "metric", "value", "95 % interval", "of")]
    for one in measured:
        for m in one.metrics:
            rows.append(
                (one.benchmark, m.name, f"{m.value:.2%}", f"{m.low:.2%} to {m.high:.2%}", f"{m.count:,} {m.of}")
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for one in measured:
        if one.rejected or one.missing:
            lines.append(f"\n{one.benchmark}: without a result, counted as wrong")
            lines += [
                f"  {count:>7,}  {reason}: {REASONS.get(reason, reason)}" for reason, count in one.rejected.items()
            ]
            lines += [f"  {one.missing:>7,}  missing in the results"] if one.missing else []
    if len(rows) == 1:
        lines = ["no metrics: there are no annotations", *lines[1:]]
    return "\n".join([*lines, "", *(f"written     {file}" for file in files)])


def to_png(measured: Sequence[Measured]) -> bytes:
    """A panel for each benchmark: its metrics as points, their intervals as bars."""
    shown = [one for one in measured if one.metrics]  # at least one
    rows = [len(one.metrics) for one in shown]
    figure = Figure(figsize=(7, 0.8 * len(shown) + 0.35 * sum(rows)), layout="constrained")
    grid = figure.add_gridspec(len(shown), height_ratios=rows)
    for place, one in enumerate(shown):
        axes = figure.add_subplot(grid[place])
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
