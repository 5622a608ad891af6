"""The summaries of jobs and filters: tables for a person, values for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from jobs.console.tables import counts, facts, lines, stacked
from pipeline.common.error_codes import REASONS
from pipeline.common.summary import Summary, candidates_line
from pipeline.common.tasks import TASKS
from pipeline.config.filter import KEPT
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.filtering.summary import FilterSummary

FILTER_ERROR = "error: "  # begins the reason of a row that a filter has dropped since it has no score
NOTHING_TO_DO = "nothing to do: these are the results of this config and input"


def summary_table(summary: Summary, seconds: float | None = None) -> RenderableType:
    """Lay out the summary of a job for a person.

    Args:
        summary: Summary of the job, over all its runs.
        seconds: Seconds of the whole command, start and end included; None if it was not measured.
    """
    pairs = "" if summary.pairs == summary.rows_in else f" ({counted(summary.pairs, 'pair')})"
    done = "done" if len(summary.tasks) > 1 else TASKS[summary.tasks[0]].verb
    head = [("rows in", f"{summary.rows_in:,}{pairs}"), (done, f"{summary.scored:,}")]
    if summary.resumed_rows and not summary.finished_before:
        head.append(("resumed", f"{counted(summary.resumed_rows, 'row was', 'rows were')} done by earlier runs"))
    if summary.repeated_rows and not summary.finished_before:
        head.append(
            (
                "repeated",
                f"{counted(summary.repeated_rows, 'row was', 'rows were')} scored again: actors or nodes were lost",
            )
        )
    head.append(("rejected", f"{sum(summary.rejected.values()):,}"))
    if summary.candidates:
        head.append(("candidates", candidates_line(summary.candidates)))
    if summary.texts_truncated:
        head.append(
            (
                "truncated",
                f"{counted(summary.texts_truncated, 'text has', 'texts have')} more tokens than the model reads",
            )
        )
    tail = [] if summary.finished_before else [("time", _time(summary, seconds))]
    if summary.batch_fill:
        full = f"on average with {summary.batch_fill:.0%} of the tokens that one may have (batch.tokens)"
        tail.append(("batches", f"{summary.micro_batches:,}, {full}"))
    tail.append(("model", _model(summary.lineage)))
    tail.append(("output", f"{summary.output} ({_held(summary)})"))
    return stacked(
        [
            *([lines(NOTHING_TO_DO)] if summary.finished_before else []),
            facts(head),
            *rejected_table(summary.rejected),
            facts(tail),
        ]
    )


def rejected_table(rejected: dict[str, int]) -> list[RenderableType]:
    """Lay out the reasons of rejected rows with their counts and meanings; nothing if no row is rejected."""
    if not rejected:
        return []
    return [counts((count, reason_text(reason)) for reason, count in rejected.items())]


def reason_text(reason: str) -> str:
    """Return a reason of a rejected or dropped row with what it means, if it has a meaning to tell."""
    meaning = REASONS.get(reason.removeprefix(FILTER_ERROR))
    return f"{reason}: {meaning}" if meaning else reason


def summary_values(summary: Summary, seconds: float | None = None) -> dict[str, Any]:
    """Return the summary of a job as JSON values.

    If there was nothing to do, the counts are those of the results, and the times are 0: they are of this run.
    """
    idle = summary.finished_before
    return {
        "tasks": list(summary.tasks),
        "output": summary.output,
        "rows_in": summary.rows_in,
        "rows_out": summary.rows_out,
        "pairs": summary.pairs,
        "scored": summary.scored,
        "rejected": summary.rejected,
        **({"candidates": summary.candidates} if summary.candidates else {}),
        "texts_truncated": summary.texts_truncated,
        "repeated_rows": 0 if idle else summary.repeated_rows,
        "resumed_rows": summary.rows_in if idle else summary.resumed_rows,
        "seconds": 0.0 if idle else summary.seconds,
        "pairs_per_second": 0.0 if idle else summary.pairs_per_second,
        "model_seconds": 0.0 if idle else summary.model_seconds,
        "whole_seconds": None if seconds is None else round(seconds, 3),
        "parts": {} if idle else summary.parts,
        "batch_fill": summary.batch_fill,
        "files": len(summary.files),
        "lineage": summary.lineage,
    }


def filter_summary_table(summary: FilterSummary, seconds: float | None = None) -> RenderableType:
    """Lay out the summary of a filter for a person; seconds: as of `summary_table`."""
    share = f" ({summary.kept / summary.rows_in:.1%})" if summary.rows_in else ""
    head = [("rows in", f"{summary.rows_in:,}"), ("kept", f"{summary.kept:,}{share}")]
    if summary.lowest_kept is not None:
        head.append(("lowest", f"{summary.lowest_kept:.4g} in {summary.score}"))
    head.append(("dropped", f"{sum(summary.dropped.values()):,}"))
    tail = [
        *([] if summary.finished_before else [("time", f"{_whole(seconds)}{summary.seconds:.1f} s for the rows")]),
        ("scores", summary.scores_from),
        *([("model", model)] if (model := _model(summary.lineage)) else []),
        ("output", f"{summary.output.rstrip('/')}/{KEPT}/ ({_kind(summary.files)}: {len(summary.files)})"),
        *([("keys", ", ".join(summary.key_files))] if summary.key_files else []),
    ]
    return stacked(
        [
            *([lines(NOTHING_TO_DO)] if summary.finished_before else []),
            facts(head),
            *rejected_table(summary.dropped),
            facts(tail),
        ]
    )


def filter_values(summary: FilterSummary, seconds: float | None = None) -> dict[str, Any]:
    """Return the summary of a filter as JSON values; if there was nothing to do, its seconds are 0."""
    return {
        "tasks": ["filter"],
        "output": summary.output,
        "rows_in": summary.rows_in,
        "kept": summary.kept,
        "dropped": summary.dropped,
        "keep": summary.keep,
        "score": summary.score,
        "lowest_kept": summary.lowest_kept,
        "scores_from": summary.scores_from,
        "seconds": 0.0 if summary.finished_before else summary.seconds,
        "whole_seconds": None if seconds is None else round(seconds, 3),
        "files": len(summary.files),
        **({"key_files": summary.key_files} if summary.key_files else {}),
        "lineage": summary.lineage,
    }


def _held(summary: Summary) -> str:
    """Return what holds the results of a job, as in "tar files: 3, Parquet files: 3"."""
    tars, tables = (sum(name.endswith(end) for name in summary.files) for end in (".tar", ".parquet"))
    committed = [summary.committed] if summary.committed else []
    return ", ".join([*committed, *([f"tar files: {tars}"] if tars else []), f"Parquet files: {tables}"])


def _model(lineage: Mapping[str, str]) -> str:
    """Return which model has made results, and in which precision; "" if they do not say."""
    precision = lineage.get("vilt.precision")
    return lineage.get("vilt.model", "") + (f" in {precision}" if precision else "")


def _kind(files: list[str]) -> str:
    return "tar files" if files and all(name.endswith(".tar") for name in files) else "Parquet files"


def _time(summary: Summary, seconds: float | None) -> str:
    """Return how long a run took, and what its time went into."""
    parts = dict(summary.parts)
    if seconds is not None:
        parts["end"] = max(0.0, seconds - sum(parts.values()))
    named = [f"{took:.1f} s to {part}" for part, took in parts.items() if part != "rows"]
    rate = f"{summary.seconds:.1f} s for the rows, {summary.pairs_per_second:,.1f} pairs/s"
    model = f"{summary.model_seconds:.1f} s in the model"
    return _whole(seconds) + "; ".join(filter(None, [rate, ", ".join(named), model]))


def _whole(seconds: float | None) -> str:
    """Return how long a command took, as the beginning of a line."""
    return "" if seconds is None else f"{seconds:.1f} s in all; "
