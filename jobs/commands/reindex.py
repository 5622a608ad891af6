"""`vilt reindex` and `vilt history`: a table of results that follows its input, and what each run did to it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from jobs.commands.report import report_after
from jobs.console.exits import ended
from jobs.console.log import Log
from pipeline import ConfigError, JobConfig
from pipeline.common.error_codes import REASONS
from pipeline.config.base import read_values
from pipeline.config.job import StorageConfig
from pipeline.monitoring.progress_reporter import LINE_EVERY
from pipeline.reindexing.reindex import reindex, rollback
from pipeline.results.delta_commit import Commit
from pipeline.results.delta_table import ResultTable

PREVIOUS = "previous"


def reindex_file(
    path: str,
    overrides: Sequence[str],
    retry_errors: bool = False,
    back_to: str | None = None,
    as_json: bool = False,
    log: Log = "text",
    every: float = LINE_EVERY,
) -> int:
    """Run the reindexing that a YAML file describes and print what it did; the exit code.

    back_to: in place of it, the number of an earlier version to restore, or PREVIOUS. log: how events go to stderr.
    every: seconds between two of progress.
    """

    def job() -> str:
        config = load(path, overrides)
        if back_to is None:
            commit, new, _ = reindex(config, retry_errors, log_every=every)
            if new and config.output.report:
                report_after(config.output.path, config.storage)
        else:
            commit, new = rollback(config.output.path, config.storage, _version(back_to)), True
        if as_json:
            return json.dumps({"status": "done" if new else "nothing_to_do", "exit_code": 0, **as_values(commit)})
        return format_commit(commit, config.output.path, new)

    return ended(job, log, as_json)


def load(path: str, overrides: Sequence[str]) -> JobConfig:
    """A config whose output is a Delta table, whether it says so or not. Raises ConfigError."""
    values = read_values(path, overrides)
    output = values.get("output")
    if isinstance(output, dict):
        said = output.setdefault("format", "delta")
        if said != "delta":
            raise ConfigError(f"{path}: output.format: {said!r}, but reindex keeps a Delta table: leave the key out")
    return JobConfig.parse(None, values, path)


def history(uri: str, as_json: bool = False) -> int:
    """Print the versions of a table, the latest first; the exit code."""

    def job() -> str:
        commits = ResultTable(uri, StorageConfig(), "OUT").commits()
        if not commits:
            raise ConfigError(f"OUT: {uri!r} holds no table of results that vilt reindex keeps")
        if as_json:
            return "\n".join(json.dumps(as_values(commit)) for commit in commits)
        return "\n\n".join(_entry(commit) for commit in commits)

    return ended(job)


def as_values(commit: Commit) -> dict[str, Any]:
    """A commit as plain values."""
    lineage = {key.removeprefix("vilt."): value for key, value in commit.lineage.items()}
    return {
        "version": commit.version,
        "committed_at": _utc(commit.at),
        "restored": commit.restored,
        **commit.counts,
        "rejected": commit.rejected,
        "seconds": commit.seconds,
        **lineage,
        "versions": json.loads(lineage["versions"]),
    }


def format_commit(commit: Commit, uri: str, new: bool) -> str:
    """What a run did, as lines for a person."""
    counts = commit.counts
    if not new:
        return f"nothing to do: version {commit.version} of {uri} has the {counts['rows_in']:,} rows of the input"
    if commit.restored is not None:
        return f"version {commit.version} of {uri} is version {commit.restored} again: {counts['rows_out']:,} rows"
    rejected = [f"  {count:>7,}  {reason}: {REASONS[reason]}" for reason, count in commit.rejected.items()]
    lines = [
        f"files       {counts['files']:,}: {_files(counts)}",
        f"read        {counts['rows_read']:,} rows",
        *([f"moved       {counts['rows_moved']:,} rows kept their results"] if counts["rows_moved"] else []),
        *([f"left        {counts['rows_left']:,} rows"] if counts["rows_left"] else []),
        f"rejected    {sum(commit.rejected.values()):,}",
        *rejected,
        f"rows        {counts['rows_out']:,}, of {counts['rows_in']:,} rows of the input",
        f"time        {commit.seconds:.1f} s",
        f"model       {commit.lineage['vilt.model']}",
        f"output      {uri}, version {commit.version}",
    ]
    return "\n".join(lines)


def _entry(commit: Commit) -> str:
    """A version in the history."""
    counts, lineage = commit.counts, commit.lineage
    what = f"version {commit.restored} again" if commit.restored is not None else _files(counts)
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in commit.rejected.items()) or "none"
    read = f"{counts['rows_read']:,} read, {counts['rows_moved']:,} moved, {counts['rows_left']:,} left"
    versions = json.loads(lineage["vilt.versions"])
    return "\n".join(
        [
            f"version {commit.version}  {_utc(commit.at)}  {counts['rows_out']:,} rows",
            f"  files     {counts['files']:,}: {what}",
            f"  rows      {read}; rejected: {rejected}",
            f"  model     {lineage['vilt.model']}, weights {lineage['vilt.weights_sha256'][:12]}, "
            f"{lineage['vilt.precision'] or 'nothing read'}",
            f"  config    {lineage['vilt.config_sha256'][:12]}, {lineage['vilt.task']}",
            f"  versions  {', '.join(f'{name} {value}' for name, value in versions.items())}",
        ]
    )


def _files(counts: dict[str, int]) -> str:
    return f"{counts['files_new']:,} new, {counts['files_changed']:,} changed, {counts['files_gone']:,} gone"


def _version(text: str) -> int | None:
    if text == PREVIOUS:
        return None
    if not text.isdecimal():
        raise ConfigError(f"--rollback: {text!r} is no version: give a number of `vilt history`, or {PREVIOUS}")
    return int(text)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
