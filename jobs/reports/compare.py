"""Two runs compared row by row: a table for a person, values for programs."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from jobs.console.tables import columns, facts, lines, stacked
from pipeline.common.error_codes import REASONS
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.comparison_page import NAMES, comparison_facts, crossing_text
from pipeline.results.distribution import QUANTILES


def comparison_values(found: Comparison) -> dict[str, Any]:
    """Return the figures of a comparison as JSON values; shares are of the rows that are compared."""
    crossing, differences = found.crossing, found.differences
    return {
        "outputs": [run.uri for run in found.runs],
        "score": found.runs[0].outcomes.score,
        "rows": list(found.rows),
        "in_both": found.common,
        "only": list(found.only),
        "ambiguous": list(found.ambiguous),
        "rejected_only": list(found.rejected_only),
        "rejected_both": found.rejected_both,
        "compared": found.compared,
        "spearman": found.spearman,
        "pearson": found.pearson,
        "crossing": crossing
        and {
            "thresholds": [crossing.first, crossing.second],
            "rose": crossing.rose,
            "fell": crossing.fell,
            "share": found.crossing_share,
        },
        "differences": differences and dict(zip(map(str, QUANTILES), differences.quantiles, strict=True)),
        "answered": found.answered,
        "same_answers": found.same_answers,
        "changes": [list(change) for change in found.changes],
    }


def comparison_table(found: Comparison, target: str) -> RenderableType:
    """Lay out the figures of a comparison for a person, and where its page is."""
    rejected = [
        [name, f"{count:,}", f"{reason}: {REASONS.get(reason, reason)}"]
        for name, reasons in zip(NAMES, found.rejected_only, strict=True)
        for reason, count in reasons.items()
    ]
    runs = [(name, run.uri) for name, run in zip(NAMES, found.runs, strict=True)]
    parts: list[RenderableType] = [facts([*runs, *comparison_facts(found)], name_width=16)]
    if found.crossing:
        parts.append(lines(crossing_text(found)))
    if rejected:
        parts += [lines("rejected in one run alone:"), columns((), rejected, numbers={1}, indent=2)]
    return stacked([*parts, facts([("report", target)], name_width=16)])
