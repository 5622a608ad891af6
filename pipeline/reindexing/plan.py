"""Plan a run of reindexing before anything is read: a value that can be printed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.reindexing.input_snapshot import InputDiff, InputSnapshot
from pipeline.reindexing.retries import FailedRows, InputRow
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import DataFile
from pipeline.results.row_source import FileVersion
from pipeline.tables.input_file import InputFile
from vilt.common.counts import counted

FIRST, OVERWRITE = "the table is new", "output.overwrite=true"
CHANGED = {
    "model": "another model",
    "config": "another config",
    "results": "other columns, or another version of the code that decides their values",
}


@dataclass(frozen=True)
class TableState:
    """A table of results as a run finds it.

    Attributes:
        latest: The last commit; None if there is none.
        data_files: The files of the table.
        columns: The columns of the table.
        snapshot: The input that the table was made from.
        failed: The rows whose errors may pass.
        replaced: Why no row of the table is of use to this run; None if some may be.
    """

    latest: Commit | None
    data_files: tuple[DataFile, ...]
    columns: pa.Schema
    snapshot: InputSnapshot
    failed: FailedRows
    replaced: str | None


@dataclass(frozen=True)
class ReindexPlan:
    """The files and rows that a run reads, reuses, rewrites and removes.

    Attributes:
        diff: How the input differs from the one that the table was made from.
        read: Files of which every row is read that cannot be reused.
        retry: Rows of files that are unchanged to read again, since their error may pass or their image has changed.
        images: Which of them have another image.
        reuse: Data files that may hold results of outdated versions: rows with the same content keep them.
        rewrite: Data files that may hold rows that leave the table, move or are read again.
        remove: Data files that leave the table as a whole.
        replaced: Why the whole table is made anew; None if it is not.
    """

    diff: InputDiff
    read: tuple[InputFile, ...]
    retry: FailedRows
    images: frozenset[InputRow]
    reuse: tuple[DataFile, ...]
    rewrite: tuple[DataFile, ...]
    remove: tuple[DataFile, ...]
    replaced: str | None

    @property
    def outdated(self) -> frozenset[FileVersion]:
        """Return the versions of the input's files whose rows leave the table, unless they have moved."""
        return self.diff.outdated

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to do."""
        return not (self.diff or self.retry or self.replaced)

    @property
    def retries_only(self) -> bool:
        """Return whether the run does nothing but read rows again whose error may pass."""
        return bool(self.retry) and not (self.diff or self.replaced or self.images)

    @property
    def retried(self) -> int:
        """Return how many rows are read again since their error may pass."""
        return len(self.retry) - len(self.images)

    def __str__(self) -> str:
        """Return one line for a person."""
        if self.is_empty:
            return "nothing to do"
        parts = [f"files: {self.diff}"]
        if self.replaced:
            parts.append(f"the whole table is made anew: {self.replaced}")
        if self.retried:
            files = {row.file for row in self.retry if row not in self.images}
            rows = f"{counted(self.retried, 'row')} in {counted(len(files), 'file')}"
            parts.append(f"{rows} {'is' if self.retried == 1 else 'are'} tried again")
        if self.images:
            parts.append(counted(len(self.images), "row has another image", "rows have another image"))
        if self.reuse:
            parts.append(
                f"rows of {counted(len(self.outdated), 'outdated file')} are looked for in "
                f"{counted(len(self.reuse), 'file')}"
            )
        return "; ".join(parts)


def plan(
    changes: InputDiff, state: TableState, most_tries: int | None, images: Collection[InputRow] = ()
) -> ReindexPlan:
    """Decide what to do.

    Args:
        changes: How the input differs from `state.snapshot`.
        state: The table.
        most_tries: How often a row whose error may pass is read again at most; None: as often as runs are made.
        images: Rows of unchanged files whose images have changed.
    """
    failed = state.failed.within(changes.unchanged.versions, most_tries) if len(state.failed) else state.failed
    retry = failed.with_rows(images)
    reuse = files_with(state.data_files, {version.name for version in changes.outdated})
    touched = {version.name for version in changes.outdated | retry.files}
    return ReindexPlan(
        diff=changes,
        read=(*changes.new, *changes.changed),
        retry=retry,
        images=frozenset(images),
        reuse=() if state.replaced else tuple(reuse),
        rewrite=() if state.replaced else tuple(files_with(state.data_files, touched)),
        remove=state.data_files if state.replaced else (),
        replaced=state.replaced,
    )


def why_replaced(latest: Commit | None, identity: Mapping[str, str], overwrite: bool) -> str | None:
    """Return why no result in a table can be kept; None if some can.

    Args:
        latest: The table's last commit.
        identity: Hashes of what decides the results of this run.
        overwrite: Whether the user wants the table to be made anew.
    """
    if latest is None:
        return FIRST
    changed = [text for name, text in CHANGED.items() if latest.identity.get(name) != identity[name]]
    return ", ".join(changed) or (OVERWRITE if overwrite else None)


def files_with(files: Sequence[DataFile], names: Collection[str]) -> list[DataFile]:
    """Return the data files that may hold rows of one of these files of the input, by their statistics."""
    ordered = sorted(names)

    def may_hold(file: DataFile) -> bool:
        if file.first is None or file.last is None:
            return bool(ordered)
        at = bisect_left(ordered, file.first)
        return at < len(ordered) and ordered[at] <= file.last

    return [file for file in files if may_hold(file)]
