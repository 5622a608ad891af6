"""The results of an evaluation: a table for a person, values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType

from jobs.console.tables import columns, counts, facts, lines, stacked
from pipeline.common.error_codes import REASONS
from pipeline.config.evaluate import BootstrapConfig
from pipeline.evaluation.output import Measured
from pipeline.evaluation.result_files import measured_values

HEADER = ("benchmark", "metric", "value", "95 % interval", "of")


def evaluation_values(measured: Sequence[Measured], bootstrap: BootstrapConfig, files: Sequence[str]) -> dict[str, Any]:
    """Return the results as JSON values, and the files that were written."""
    return {**measured_values(measured, bootstrap), "files": list(files)}


def evaluation_table(measured: Sequence[Measured], files: Sequence[str]) -> RenderableType:
    """Lay out a line for each metric, then what was rejected and written, for a person."""
    rows = [
        [one.benchmark, m.name, f"{m.value:.2%}", f"{m.low:.2%} to {m.high:.2%}", f"{m.count:,} {m.of}"]
        for one in measured
        for m in one.metrics
    ]
    parts = [columns(HEADER, rows) if rows else lines("no metrics: there are no annotations")]
    for one in measured:
        missing = [(one.missing, "missing in the results")] if one.missing else []
        wrong = [(count, f"{reason}: {REASONS.get(reason, reason)}") for reason, count in one.rejected.items()]
        if wrong or missing:
            title = lines(f"{one.benchmark}: without a result, counted as wrong")
            parts.append(stacked([title, counts([*wrong, *missing])]))
    return stacked([*parts, facts(("written", file) for file in files)], gap=True)
