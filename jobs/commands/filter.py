"""`vilt filter`: the good rows of a table, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.commands.report import report_after
from jobs.console.exits import ended
from jobs.console.log import Log
from pipeline.config.filter import KEPT, FilterConfig
from pipeline.filtering.filter_table import FilterSummary, filter_table


def filter_file(path: str, overrides: Sequence[str], log: Log = "text") -> int:
    """Run the filter that a YAML file describes and print its summary; the exit code."""
    return ended(lambda: _filter(FilterConfig.load(path, overrides)), log)


def _filter(config: FilterConfig) -> str:
    summary = filter_table(config)
    if config.output.report and not summary.finished_before:
        report_after(config.output.path, config.storage)
    return format_filter(summary)


def format_filter(summary: FilterSummary) -> str:
    """The summary as lines for a person."""
    share = f" ({summary.kept / summary.rows_in:.1%})" if summary.rows_in else ""
    lines = [
        *(["nothing to do: these are the results of this config and input"] if summary.finished_before else []),
        f"rows in     {summary.rows_in:,}",
        f"kept        {summary.kept:,}{share}",
        *([f"lowest      {summary.lowest_kept:.4g} in {summary.score}"] if summary.lowest_kept is not None else []),
        f"dropped     {sum(summary.dropped.values()):,}",
        *(f"  {count:>7,}  {reason}" for reason, count in summary.dropped.items()),
        f"time        {summary.seconds:.1f} s",
        f"scores      {summary.scores_from}",
        f"output      {summary.output.rstrip('/')}/{KEPT} (Parquet files: {len(summary.files)})",
    ]
    return "\n".join(lines)
