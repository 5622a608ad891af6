"""The first look at the output of a finished job: tables for a person, values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
from rich.console import RenderableType

from jobs.console.tables import columns, counts, facts, lines, stacked
from jobs.reports.summary import reason_text
from pipeline.common.columns import DETAIL, ROW_SOURCE
from pipeline.common.redaction import redacted_text
from pipeline.common.shown_values import python_values
from pipeline.common.summary import candidates_line
from pipeline.reporting.overview import Overview, lineage_lines
from pipeline.results.distribution import QUANTILES, quantile_names
from pipeline.results.reader import made_columns
from pipeline.tables.reading import read_columns
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted

BAR = 20  # characters
BINS_A_LINE = 4
MOST_ANSWERS, MOST_COLUMNS, FEWEST_OWN = 10, 8, 2
NAME_WIDTH = 12  # characters of the names at the top
LINEAGE_WIDTH = 14


def overview_table(view: Overview, rows: int) -> RenderableType:
    """Lay out an output for a person: counts, reasons, scores, answers, some rows, and what made them.

    Args:
        view: The output.
        rows: How many of its first rows to show.
    """
    parts = [_head(view), _scores(view), _answers(view)]
    if view.table and rows:
        parts.append(_rows(view.table, view.summary["tasks"], rows))
    parts.append(facts(lineage_lines(view.summary), cut=True, name_width=LINEAGE_WIDTH))
    return stacked([part for part in parts if part is not None], gap=True)


def overview_values(view: Overview) -> dict[str, Any]:
    """Return an output as JSON values; without rows."""
    summary, scores = view.summary, view.scores
    quantiles = scores and dict(zip(map(str, QUANTILES), scores.quantiles, strict=True))
    names = ("tasks", "rows_in", "pairs", "scored", "candidates", "texts_truncated", "kept", "keep", "lineage")
    return {
        "output": view.uri,
        **{name: summary[name] for name in names if name in summary},
        "rejected": view.rejected,
        "score": view.score,
        "scores": scores and {"rows": scores.rows, "quantiles": quantiles},
        "lowest_kept": view.threshold,
        "answers": dict(view.answers),
        "distinct_answers": view.distinct_answers,
    }


def _head(view: Overview) -> RenderableType:
    summary = view.summary
    named = [("rows in", f"{summary['rows_in']:,}")]
    if view.is_filter:
        share = f" ({summary['kept'] / summary['rows_in']:.1%})" if summary["rows_in"] else ""
        named.append(("kept", f"{summary['kept']:,}{share}"))
        named.append(("keep", ", ".join(f"{key}: {value}" for key, value in summary["keep"].items())))
    else:
        named.append(("pairs", f"{summary['pairs']:,}, {summary['scored']:,} with a result"))
        if summary.get("candidates"):
            named.append(("candidates", candidates_line(summary["candidates"])))
        if truncated := summary.get("texts_truncated"):  # outputs of earlier releases do not say
            named.append(
                ("truncated", f"{counted(truncated, 'text has', 'texts have')} more tokens than the model reads")
            )
    title = lines(f"{view.uri}: {', '.join(summary['tasks'])}")
    head = stacked([title, facts(named, cut=True, name_width=NAME_WIDTH)])
    return stacked([head, _rejected(view)], gap=True) if view.rejected else head


def _rejected(view: Overview) -> RenderableType:
    total = f"{sum(view.rejected.values()):,}"
    found: list[RenderableType] = [
        facts([("dropped" if view.is_filter else "rejected", total)], cut=True, name_width=NAME_WIDTH)
    ]
    for reason, count in view.rejected.items():
        found.append(counts([(count, reason_text(reason))], cut=True))
        examples = [[f"row {row_id}{f': {detail}' if detail else ''}"] for row_id, detail in view.failures[reason][:1]]
        if examples:
            found.append(columns((), examples, indent=11))
    return stacked(found)


def _scores(view: Overview) -> RenderableType | None:
    scores = view.scores
    if scores is None:
        return None
    quantiles = "  ".join(f"{name} {value:.3g}" for name, value in zip(quantile_names(), scores.quantiles, strict=True))
    more = [] if view.threshold is None else [[f"lowest kept {view.threshold:.4g}"]]
    rows = [sum(pair) for pair in zip(scores.kept, scores.dropped, strict=True)]
    bins = [sum(rows[i : i + BINS_A_LINE]) for i in range(0, len(rows), BINS_A_LINE)]
    edges = [f"{edge:.3g}" for edge in scores.edges[::BINS_A_LINE]]
    drawn = [
        [low, "..", high, _bar(count, max(bins)), f"{count:,}"]
        for low, high, count in zip(edges[:-1], edges[1:], bins, strict=True)
    ]
    return stacked(
        [
            lines(f"{view.score}: {counted(scores.rows, 'row')}"),
            columns((), [[quantiles], *more], indent=2),
            columns((), drawn, numbers={0, 2, 4}, indent=2),
        ]
    )


def _answers(view: Overview) -> RenderableType | None:
    if not view.answers:
        return None
    top = view.answers[:MOST_ANSWERS]
    drawn = [[_one_line(answer), _bar(count, top[0][1]), f"{count:,}"] for answer, count in top]
    return stacked([lines(f"answers: {view.distinct_answers:,} different"), columns((), drawn, numbers={2}, indent=2)])


def _bar(count: int, most: int) -> str:
    return f"{'#' * round(BAR * count / most):<{BAR}}"


def _rows(table: TableFiles, tasks: Sequence[str], count: int) -> RenderableType | None:
    """Lay out the first rows with the columns that are text or numbers: those of the job, and some of the user's."""
    shown = [
        field.name for field in table.schema if not _is_bulk(field.type) and field.name not in (ROW_SOURCE, DETAIL)
    ]
    made = set(made_columns(tasks, table.schema))
    own = [name for name in shown if name not in made][: max(FEWEST_OWN, MOST_COLUMNS - len(made & {*shown}))]
    names = [name for name in shown if name in made or name in own]
    rows: list[Sequence[Any]] = []
    for window in islice(read_columns(table, names, count), count):
        rows += zip(*(python_values(column) for column in window.select(names).columns), strict=True)
        if len(rows) >= count:
            break
    return columns(names, [[_shown(value) for value in row] for row in rows[:count]]) if rows else None


def _is_bulk(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes, or lists or structs of bytes or of many numbers."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_list(kind):
        return True
    return pa.types.is_nested(kind) and any(_is_bulk(kind.field(i).type) for i in range(kind.num_fields))


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else _one_line(redacted_text(str(value)))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
