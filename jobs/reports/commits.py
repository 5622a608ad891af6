"""The versions of a Delta table of results: tables for a person, values for programs."""

from __future__ import annotations

import time
from typing import Any

from rich.console import RenderableType

from jobs.console.tables import columns, facts, lines, stacked
from jobs.reports.summary import rejected_table
from pipeline.reindexing.reindex import Reindexed
from pipeline.results.delta.commit import Commit
from vilt.common.counts import counted
from vilt.common.json_text import read_json

IMAGES = "rows_image_changed"  # not in the commits of earlier releases
OF_A_RUN = ("files_new", "files_changed", "files_gone", "rows_read", "rows_moved", "rows_left", IMAGES)  # counts
UNIT = "vilt."  # prefix of the keys of a lineage


def commit_table(run: Reindexed, uri: str, seconds: float | None = None) -> RenderableType:
    """Lay out for a person what a run did.

    Args:
        run: The run, and the version of the table that it made or found.
        uri: URI of the table.
        seconds: Seconds of the whole command, start and end included; None if it was not measured.
    """
    commit, done = run.commit, run.commit.counts
    standing = sum(commit.standing.values())
    if not run.new:
        idle = "nothing to do"
        if run.retried:
            idle = f"{counted(run.retried, 'row was', 'rows were')} tried again and failed as before"
        idle = f"{idle}: version {commit.version} of {uri} has the {counted(done['rows_in'], 'row')} of the input"
        return lines(f"{idle}, {standing:,} of them without a result" if standing else idle)
    if commit.restored is not None:
        return lines(
            f"version {commit.version} of {uri} is version {commit.restored} again: {counted(done['rows_out'], 'row')}"
        )
    head = [("files", f"{done['files']:,}: {_files(done)}"), ("read", counted(done["rows_read"], "row"))]
    if done["rows_moved"]:
        head.append(("moved", counted(done["rows_moved"], "row kept its results", "rows kept their results")))
    if done["rows_left"]:
        head.append(("left", counted(done["rows_left"], "row")))
    if run.retried:
        head.append(("retried", f"{counted(run.retried, 'row')}, whose error was transient"))
    if done.get(IMAGES):
        head.append(("images", f"{counted(done[IMAGES], 'row')}, whose image has changed"))
    head.append(("rejected", f"{sum(commit.rejected.values()):,}"))
    if commit.texts_truncated:
        head.append(
            (
                "truncated",
                f"{counted(commit.texts_truncated, 'text')} of the table, of more tokens than the model reads",
            )
        )
    tail = [
        *([("no result", f"{counted(standing, 'row')} of the table: {_reasons(commit.standing)}")] if standing else []),
        ("rows", f"{done['rows_out']:,}, of {counted(done['rows_in'], 'row')} of the input"),
        ("time", f"{'' if seconds is None else f'{seconds:.1f} s in all; '}{commit.seconds:.1f} s until committed"),
        ("model", commit.lineage["vilt.model"]),
        ("output", f"{uri}, version {commit.version}"),
    ]
    return stacked([facts(head), *rejected_table(commit.rejected), facts(tail)])


def history_table(commits: list[Commit]) -> RenderableType:
    """Lay out what each run did for a person, in the order that is given."""
    return stacked([_entry(commit) for commit in commits], gap=True)


def commit_values(
    commit: Commit, new: bool = True, retried: int | None = None, seconds: float | None = None
) -> dict[str, Any]:
    """Return a version as JSON values.

    Args:
        commit: The version.
        new: Whether the run that reports it has made it; if not, the counts of what a run did are 0.
        retried: Rows that the run has tried again; None if it is not known.
        seconds: Seconds of the whole command that reports it; None if it was not measured.
    """
    lineage = {key.removeprefix(UNIT): value for key, value in commit.lineage.items()}
    return {
        "version": commit.version,
        "committed_at": _utc(commit.at),
        "restored": commit.restored,
        **commit.counts,
        **({} if new else dict.fromkeys(OF_A_RUN, 0)),
        **({} if retried is None else {"rows_retried": retried}),
        "rejected": commit.rejected if new else {},
        "standing": commit.standing,
        "texts_truncated": commit.texts_truncated,
        "seconds": commit.seconds if new else 0.0,
        **({} if seconds is None else {"whole_seconds": round(seconds, 3)}),
        **lineage,
        "versions": read_json(lineage["versions"]),
    }


def _entry(commit: Commit) -> RenderableType:
    """Lay out a version in the history."""
    done, lineage = commit.counts, commit.lineage
    what = f"version {commit.restored} again" if commit.restored is not None else _files(done)
    rejected = _reasons(commit.rejected) or "none"
    versions = read_json(lineage["vilt.versions"])
    rows = f"{done['rows_read']:,} read, {done['rows_moved']:,} moved, {done['rows_left']:,} left"
    model = f"{lineage['vilt.model']}, weights {lineage['vilt.weights_sha256'][:12]}"
    named = [
        ("files", f"{done['files']:,}: {what}"),
        ("rows", f"{rows}; rejected: {rejected}"),
        ("model", f"{model}, {lineage['vilt.precision'] or 'nothing read'}"),
        ("config", f"{lineage['vilt.config_sha256'][:12]}, {lineage['vilt.task']}"),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
    ]
    head = f"version {commit.version}  {_utc(commit.at)}  {counted(done['rows_out'], 'row')}"
    return stacked([lines(head), columns((), named, indent=2)])


def _reasons(rejected: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in rejected.items())


def _files(done: dict[str, int]) -> str:
    return f"{done['files_new']:,} new, {done['files_changed']:,} changed, {done['files_gone']:,} gone"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
