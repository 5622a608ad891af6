"""A batch job from a config file: `vilt run`, and `score`, `answer` and the other tasks alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console.exits import BAD_CONFIG, ended
from jobs.console.log import Log
from jobs.console.process import run_process
from pipeline import JobConfig, Summary, run
from pipeline.common.error_codes import REASONS
from pipeline.common.tasks import Task
from pipeline.monitoring.progress_reporter import LINE_EVERY


def run_file(
    task: Task | None,
    path: str,
    overrides: Sequence[str],
    retry_errors: bool = False,
    log: Log = "text",
    every: float = LINE_EVERY,
) -> int:
    """Run the job that a YAML file describes and print its summary; the exit code.

    task: None where the file says it. log: how events go to stderr. every: seconds between two of progress.
    """
    return ended(lambda: _run(JobConfig.load(task, path, overrides), retry_errors, every), log)


def _run(config: JobConfig, retry_errors: bool, every: float) -> str:
    """What each kind of job needs is imported when it is known which it is: together that takes seconds."""
    if config.output.format == "delta":
        from jobs.commands.reindex import format_commit
        from pipeline.reindexing.reindex import reindex

        commit, new = reindex(config, retry_errors, follow=False, every=every)
        return format_commit(commit, config.output.path, new)
    folder = config.output.path.rstrip("/")
    if config.texts:
        from pipeline.ranking.rank import rank

        summary = rank(config, retry_errors, every)
    else:
        summary = run(config, retry_errors, every)
    if config.output.report and not summary.finished_before:
        from jobs.commands.report import report_after

        report_after(folder, config.storage)
    return format_summary(summary)


def main(task: Task) -> None:
    """`python -m jobs.TASK CONFIG [key=value ...]`."""

    def command() -> None:
        if len(sys.argv) < 2:
            print(f"usage: python -m jobs.{task} CONFIG [key=value ...]", file=sys.stderr)
            sys.exit(BAD_CONFIG)
        sys.exit(run_file(task, sys.argv[1], sys.argv[2:]))

    run_process(command)


def format_summary(summary: Summary) -> str:
    """The summary as lines for a person."""
    from pipeline.common.tasks import TASKS

    fill = f"{summary.batch_fill:.0%}"
    pairs = "" if summary.pairs == summary.rows_in else f" ({summary.pairs:,} pairs)"
    done = "done" if len(summary.tasks) > 1 else TASKS[summary.tasks[0]].verb
    lines = [
        *(["nothing to do: these are the results of this config and input"] if summary.finished_before else []),
        f"rows in     {summary.rows_in:,}{pairs}",
        f"{done:<11} {summary.scored:,}",
        *([f"resumed     {summary.resumed_rows:,} rows were done by earlier runs"] if summary.resumed_rows else []),
        f"rejected    {sum(summary.rejected.values()):,}",
        *(f"  {count:>7,}  {reason}: {REASONS[reason]}" for reason, count in summary.rejected.items()),
        f"time        {summary.seconds:.1f} s, {summary.pairs_per_second:,.1f} pairs/s, start included; "
        f"{summary.model_seconds:.1f} s in the model",
        *([f"batches     {summary.micro_batches:,}, {fill} full, no padding"] if summary.batch_fill else []),
        f"model       {summary.lineage['vilt.model']} in {summary.lineage['vilt.precision']}",
        f"output      {summary.output} (Parquet files: {len(summary.files)})",
    ]
    return "\n".join(lines)
