"""A batch job from a config file: what `score` and `answer` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline import ConfigError, JobConfig, Summary, run
from pipeline.config import Task
from pipeline.reasons import REASONS
from pipeline.sink import RowsLostError

FAILED, BAD_CONFIG = 1, 2  # exit codes


def run_file(task: Task, path: str, overrides: Sequence[str]) -> int:
    """Run the job that a YAML file describes and print its summary; the exit code."""
    try:
        print(format_summary(run(JobConfig.load(task, path, overrides))))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    except RowsLostError as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0


def main(task: Task) -> None:
    """`python -m jobs.TASK CONFIG [key=value ...]`."""
    if len(sys.argv) < 2:
        print(f"usage: python -m jobs.{task} CONFIG [key=value ...]", file=sys.stderr)
        sys.exit(BAD_CONFIG)
    sys.exit(run_file(task, sys.argv[1], sys.argv[2:]))


def format_summary(summary: Summary) -> str:
    """The summary as lines for a person."""
    pairs = "" if summary.pairs == summary.rows_in else f" ({summary.pairs:,} pairs)"
    done = {"score": "scored", "answer": "answered"}[summary.task]
    lines = [
        f"rows in     {summary.rows_in:,}{pairs}",
        f"{done:<11} {summary.scored:,}",
        f"rejected    {sum(summary.rejected.values()):,}",
        *(f"  {count:>7,}  {reason}: {REASONS[reason]}" for reason, count in summary.rejected.items()),
        f"time        {summary.seconds:.1f} s, {summary.pairs_per_second:,.1f} pairs/s, start included; "
        f"{summary.model_seconds:.1f} s in the model",
        f"batches     {summary.micro_batches:,}, {summary.batch_fill:.0%} full, no padding",
        f"model       {summary.lineage['vilt.model']} in {summary.lineage['vilt.precision']}",
        f"output      {summary.output} (Parquet files: {len(summary.files)})",
    ]
    return "\n".join(lines)
