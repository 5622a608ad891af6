"""`vilt show`: the first look at the output of a finished job, in a terminal."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from jobs.console.exits import ended
from pipeline.common.columns import ROW_SOURCE
from pipeline.common.error_codes import REASONS
from pipeline.config.job import StorageConfig
from pipeline.reporting.overview import Overview, lineage_lines, look_at
from pipeline.results.distribution import QUANTILES
from pipeline.tables.table import TableFiles, read_columns

BAR = 20  # characters
ANSWERS, MOST_COLUMNS = 10, 8
SHORTEST = 6  # characters of a column


def show(uri: str, rows: int) -> int:
    """Print what a finished job has written; the exit code. rows: of its table, the first, to print."""
    return ended(lambda: describe(look_at(uri, StorageConfig()), rows, shutil.get_terminal_size().columns))


def describe(view: Overview, rows: int, width: int) -> str:
    """The look as text of lines of at most `width` characters."""
    parts = [_counts(view), _rejected(view), _scores(view), _answers(view)]
    if view.table and rows:
        parts.append(_rows(view.table, rows, width))
    parts.append([f"{name:<16}{value}" for name, value in lineage_lines(view.summary)])
    return "\n\n".join("\n".join(cut(line, width) for line in part) for part in parts if part)


def _counts(view: Overview) -> list[str]:
    summary = view.summary
    lines = [f"{view.uri}: {', '.join(summary['tasks'])}", f"rows in       {summary['rows_in']:,}"]
    if view.is_filter:
        share = f" ({summary['kept'] / summary['rows_in']:.1%})" if summary["rows_in"] else ""
        lines.append(f"kept          {summary['kept']:,}{share}")
        lines.append(f"keep          {', '.join(f'{key}: {value}' for key, value in summary['keep'].items())}")
    else:
        lines.append(f"pairs         {summary['pairs']:,}, {summary['scored']:,} with a result")
    return lines


def _rejected(view: Overview) -> list[str]:
    if not view.rejected:
        return []
    lines = [f"{'dropped' if view.is_filter else 'rejected':<14}{sum(view.rejected.values()):,}"]
    for reason, count in view.rejected.items():
        meaning = f": {REASONS[reason]}" if reason in REASONS else ""
        lines.append(f"{count:>9,}  {reason}{meaning}")
        lines += [
            f"{'':<11}row {row_id}{f': {detail}' if detail else ''}" for row_id, detail in view.failures[reason][:1]
        ]
    return lines


def _scores(view: Overview) -> list[str]:
    scores = view.scores
    if scores is None:
        return []
    names = ["least", *(f"{share:.0%}" for share in QUANTILES[1:-1]), "most"]
    line = "  ".join(f"{name} {value:.3g}" for name, value in zip(names, scores.quantiles, strict=True))
    lines = [f"{view.score}: {scores.rows:,} rows", f"  {line}"]
    if view.threshold is not None:
        lines.append(f"  lowest kept {view.threshold:.4g}")
    # four bins a line
    counts = [sum(pair) for pair in zip(scores.kept, scores.dropped, strict=True)]
    merged = [sum(counts[i : i + 4]) for i in range(0, len(counts), 4)]
    for i, count in enumerate(merged):
        bar = "#" * round(BAR * count / max(merged))
        lines.append(f"  {scores.edges[4 * i]:>9.3g} .. {scores.edges[4 * i + 4]:<9.3g} {bar:<{BAR}} {count:,}")
    return lines


def _answers(view: Overview) -> list[str]:
    if not view.answers:
        return []
    top = view.answers[:ANSWERS]
    widest = max(len(_plain(answer)) for answer, _ in top)
    lines = [f"answers: {view.distinct_answers:,} different"]
    return lines + [
        f"  {_plain(answer):<{widest}}  {'#' * round(BAR * n / top[0][1]):<{BAR}} {n:,}" for answer, n in top
    ]


def _rows(table: TableFiles, count: int, width: int) -> list[str]:
    """The first rows; of the columns that are text or numbers, those that find room."""
    fields = [field for field in table.schema if not _is_bulk(field.type) and field.name != ROW_SOURCE][:MOST_COLUMNS]
    names = [field.name for field in fields]
    rows: list[Sequence[Any]] = []
    for window in islice(read_columns(table, names, count), count):
        rows += zip(*(column.to_pylist() for column in window.select(names).columns), strict=True)
        if len(rows) >= count:
            break
    if not rows:
        return []
    cells = [[_plain(_cell(value)) for value in row] for row in rows[:count]]
    return _aligned([names, *cells], width)


def _aligned(cells: list[list[str]], width: int) -> list[str]:
    """Columns side by side: the widest are cut until all fit."""
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > SHORTEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in cells:
        shown = [cut(text, size) for text, size in zip(row, widths, strict=True)]
        padded = [text + " " * (size - _width(text)) for text, size in zip(shown, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


def _is_bulk(kind: pa.DataType) -> bool:
    """Bytes, and lists or structs with bytes or many numbers."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_list(kind):
        return True
    return pa.types.is_nested(kind) and any(_is_bulk(kind.field(i).type) for i in range(kind.num_fields))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """On one line, without what would steer the terminal."""
    text = " ".join(text.split())
    return "".join(c if unicodedata.category(c)[0] != "C" else "?" for c in text)


def cut(text: str, width: int) -> str:
    """The beginning of a text, of at most `width` cells of the terminal."""
    if _width(text) <= width:
        return text
    kept = ""
    for c in text:
        if _width(kept + c) > width - 1:
            break
        kept += c
    return kept + "…"


def _width(text: str) -> int:
    """Cells in the terminal: two for the wide characters of East Asia, none for marks over others."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
