"""The HTML page about two runs compared row by row, with pictures."""

from __future__ import annotations

from typing import Any

from pipeline.common.error_codes import REASONS
from pipeline.config.storage import StorageConfig
from pipeline.reporting import figures
from pipeline.reporting.access import Access
from pipeline.reporting.comparison import DENSITY_BINS, Comparison
from pipeline.reporting.figures import Drawn
from pipeline.reporting.overview import Overview, lineage_lines
from pipeline.reporting.pictures import Picture, pictures_of
from pipeline.reporting.rendering import config_text, made_lines, render
from pipeline.results.distribution import quantile_names
from vilt.common.counts import counted

NAMES = ("A", "B")
TITLES = {"rose": "Rose most in rank, from A to B", "fell": "Fell most in rank, from A to B"}


def comparison_page(found: Comparison, storage: StorageConfig, access: Access) -> tuple[str, str]:
    """Return the page as HTML, and why it has no pictures: "" if it has them, or if there are none.

    Args:
        found: The comparison.
        storage: How to reach the pictures.
        access: What may be opened for pictures, beside the outputs.
    """
    pictures, note = _pictures(found, storage, access)
    runs = [
        {
            "name": f"{name}: {run.uri}",
            "made": made_lines(run.summary),
            "config": config_text(run.summary),
            "lineage": lineage_lines(run.summary),
        }
        for name, run in zip(NAMES, found.runs, strict=True)
    ]
    page = render(
        "compare.html.j2",
        title=f"{', '.join(found.runs[0].summary['tasks'])}: {found.runs[0].uri} and {found.runs[1].uri}",
        runs=runs,
        facts=comparison_facts(found),
        crossing=crossing_text(found),
        figures=_figures(found),
        changes=[(_short(a), _short(b), count) for a, b, count in found.changes],
        only=_only(found),
        rejected=[
            (
                f"Rejected in {name} alone",
                [(reason, count, REASONS.get(reason, ""), ()) for reason, count in of.items()],
            )
            for name, of in zip(NAMES, found.rejected_only, strict=True)
            if of
        ],
        galleries=[(TITLES[kind], shown) for kind, shown in pictures.items() if shown],
        id_name=found.runs[1].id_column or "row_id",
        note=note,
    )
    return page, note


def comparison_facts(found: Comparison) -> list[tuple[str, str]]:
    """Return the names and values at the top."""
    named = [(f"Rows in {name}", f"{rows:,}") for name, rows in zip(NAMES, found.rows, strict=True)]
    named.append(("In both", f"{found.common:,}"))
    if found.compared:
        named.append(("With both scores", f"{found.compared:,}"))
        named.append(("Spearman", _correlation(found.spearman)))
        named.append(("Pearson", _correlation(found.pearson)))
    if found.crossing_share is not None:
        named.append(("Cross threshold", f"{found.crossing_share:.2%}"))
    if found.answered:
        named.append(("Same answer", f"{found.same_answers / found.answered:.2%}"))
    named += [(f"Only in {name}", f"{rows:,}") for name, rows in zip(NAMES, found.only, strict=True)]
    named += [
        (f"Rejected in {name}", f"{sum(reasons.values()):,} alone")
        for name, reasons in zip(NAMES, found.rejected_only, strict=True)
    ]
    if found.rejected_both:
        named.append(("Rejected in both", f"{found.rejected_both:,}"))
    named += [(f"Ambiguous in {name}", f"{rows:,}") for name, rows in zip(NAMES, found.ambiguous, strict=True) if rows]
    return named


def _correlation(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def crossing_text(found: Comparison) -> str:
    """Return in words which threshold is crossed by how many rows; "" if no scores are compared."""
    one = found.crossing
    if one is None:
        return ""
    if one.given:
        what = f"the threshold {one.first:.4g}"
    else:
        what = f"the median of each run, {one.first:.4g} in A and {one.second:.4g} in B"
    below = found.compared - one.above - one.rose - one.fell
    return (
        f"Of {counted(found.compared, 'row')} {one.rose:,} rise above {what}, {one.fell:,} fall below; "
        f"{one.above:,} stay above it and {below:,} below."
    )


def _figures(found: Comparison) -> list[Drawn]:
    if found.differences is None:
        return []
    pairs = zip(quantile_names(), found.differences.quantiles, strict=True)
    quantiles = ", ".join(f"{name}: {value:.3g}" for name, value in pairs)
    score = found.runs[0].outcomes.score or ""
    counts, ranges = found.density
    drawn = figures.density(counts, DENSITY_BINS, (f"{score} in A", f"{score} in B"), ranges)
    return [
        Drawn("Both scores", drawn, "The more rows, the larger the square"),
        Drawn(
            "Differences", figures.histogram(found.differences, f"{score} in B - in A", None), f"Quantiles: {quantiles}"
        ),
    ]


def _only(found: Comparison) -> list[tuple[str, str]]:
    """Return how many rows are not in both, and some of their ids."""
    out = []
    for name, rows, ids in zip(NAMES, found.only, found.only_ids, strict=True):
        if rows:
            out.append((f"only in {name}", f"{rows:,}: {', '.join(map(str, ids))}{', ...' if rows > len(ids) else ''}"))
    for name, rows in zip(NAMES, found.ambiguous, strict=True):
        if rows:
            out.append((f"ambiguous in {name}", f"{rows:,}: they have no id, or several rows have the same"))
    return out


def _pictures(found: Comparison, storage: StorageConfig, access: Access) -> tuple[dict[str, list[Picture]], str]:
    """Return the rows whose rank has changed most, as the second run shows them."""
    run = found.runs[1]
    examples = {kind: [_with_change(row) for row in rows] for kind, rows in found.examples.items()}
    view = Overview(run.uri, run.summary, run.table, run.id_type, examples=examples)
    return pictures_of(view, storage, access)


def _with_change(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with what a picture shows of its change."""
    ranks = f"rank {row['first_rank']:.0%} → {row['second_rank']:.0%}"
    return {**row, "shown_score": f"{row['first']:.4g} → {row['score']:.4g}", "reason": ranks}


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
