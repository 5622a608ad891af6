"""A Delta table as the output of a job: carries out a plan, and commits what it has written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from pipeline.common.row_ranges import RowSet, row_key
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.error_budget import JUDGED_FROM_PAIRS
from pipeline.monitoring.events import emit_started
from pipeline.reindexing.commit import commit
from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile
from pipeline.reindexing.plan import ReindexPlan, TableState
from pipeline.reindexing.retries import InputRow
from pipeline.reindexing.rewriting import Rewrite, Rewritten, rewrite
from pipeline.reindexing.staged_results import StagedResults
from pipeline.reindexing.stored_rows import Moved, StoredRows, find_moved, find_unchanged, stored_rows
from pipeline.reindexing.table_columns import carried_columns
from pipeline.reindexing.table_folder import PARTS, TableFolder
from pipeline.results.delta.commit import Commit
from pipeline.results.file_footer import ResultFile
from pipeline.results.joined_files import join_small_files
from pipeline.results.row_source import FileVersion
from pipeline.results.staging import Staging, file_numbers
from pipeline.results.work_folder import SUMMARY, WorkFolder, each
from pipeline.scoring.judging import over_budget
from pipeline.scoring.prepare import PreparedJob
from pipeline.storage.filesystem import write_whole
from pipeline.tables.formats.delta.change_feed import changed_ids
from pipeline.tables.table import InputTable

VERSIONS = ("version", "timestamp")  # keys of `input` that say which version of a table is read


@dataclass
class DeltaOutput:
    """A table as the output of a job that reads the files of a plan; see `JobOutput`.

    Attributes:
        plan: What is to be done.
        state: The table before.
        columns: The columns of the table after the run, but for those that results add.
        job: The job. Its table has the files of which rows are read.
        identity: See `identity_of`.
        folder: The folder of the table, locked.
        locked: What holds the lock of the folder.
        started: When the run began, by `time.monotonic`.
        staging: Where the results are written.
        stored: The rows of the plan's unchanged files that the table has.
        again: Those of them that are read again.
        moved: Rows that keep their results under a new key.
        resumed_rows: Rows of the input that an earlier run had read.
        commit: The commit; None until there is one.
    """

    plan: ReindexPlan
    state: TableState
    columns: pa.Schema
    job: PreparedJob
    identity: dict[str, str]
    folder: TableFolder
    locked: ExitStack
    started: float

    def __post_init__(self) -> None:
        """Begin with nothing read."""
        self.staging = self.folder.staging(self.identity)
        self.numbers = file_numbers(self.job.table)
        self.types: Mapping[str, pa.DataType] | None = {column.name: column.type for column in self.columns}
        self.stored = StoredRows.none()
        self.again = RowSet.none()
        self.moved = Moved.none()
        self.resumed_rows = 0
        self.commit: Commit | None = None

    def __enter__(self) -> Self:
        """Do nothing: the folder is locked."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the lock of the folder."""
        self.locked.__exit__(kind, error, traceback)

    @property
    def staged(self) -> Staging:
        """Return where the part files of a run are written."""
        return self.staging

    def begin(self) -> Summary | None:
        """Take over what a run that was stopped has written; return None: there is something left to do."""
        self.staging.resume(self.job.table, self.types or {})
        if over_budget(self.judged(), self.job.config.max_error_rate):
            self.staging.drop_retryable()
        resumed = self.staging.written
        self.resumed_rows = len(resumed)
        self.stored = stored_rows(self.folder, [file.path for file in self.plan.rewrite], self.plan.retry.files)
        keys = self.stored.row_keys(self.numbers)
        is_again = RowSet.union([_row_set(self.plan.retry, self.numbers), resumed]).contains(keys)
        self.again, self.staging.in_table = RowSet.of(keys[is_again]), RowSet.of(keys[~is_again])
        return None

    def before_reading(self, job: PreparedJob) -> PreparedJob:
        """Find the rows that have moved, which need not be read; return the job."""
        if self.plan.reuse:
            outdated = stored_rows(self.folder, [file.path for file in self.plan.reuse], self.plan.outdated)
            known = RowSet.union([self.staging.done, self.again])
            changed = self._changed_ids()
            if changed is None:
                self.moved = find_moved(self.job.table, self.job.config, known, outdated)
            else:
                self.moved = find_unchanged(self.job.table, self.job.config, known, outdated, changed)
            self.staging.in_table = RowSet.union([self.staging.in_table, self.moved.row_set])
        return job

    def _changed_ids(self) -> pa.ChunkedArray | None:
        """Return the ids of the rows that differ from those that the table was made from, as the input's log says them.

        None if it does not say, and rows are to be compared by their content.
        """
        spec, latest, table = self.job.config.input, self.state.latest, self.job.table
        if table.format.name != "delta" or spec.id is None or latest is None or not latest.input_version:
            return None
        now, then = ({k: v for k, v in one.items() if k not in VERSIONS} for one in (spec.stored(), latest.input))
        if now != then:
            return None
        since, until = (int(version.rpartition(" ")[2]) for version in (latest.input_version, table.version))
        if since >= until:
            return None
        return changed_ids(table.base, self.job.config.storage, since, until, spec.id, table.columns.names)

    def files(self) -> list[ResultFile]:
        """Return the part files of this run and of those that were stopped."""
        return self.staging.parts

    def judged(self) -> ResultFile:
        """Return the counts of the rows that were read; of a few, with those of the table that stay beside them."""
        total = ResultFile.total(self.staging.parts)
        if not over_budget(total, self.job.config.max_error_rate) or total.rows >= JUDGED_FROM_PAIRS:
            return total
        if self.state.latest is None or self.plan.replaced:
            return total
        rows = sum(file.rows for file in self.state.data_files) - len(self.plan.retry)
        standing = Counter(self.state.latest.standing)
        return replace(total, rows=total.rows + max(0, rows), errors=total.errors + standing)

    def audit(self) -> None:
        """Check that every row of the files being read has results once, in the table or beside it."""
        self.staging.audit(self.job.table.rows)

    def publish(self, summary: Summary) -> tuple[Summary, dict[str, Any]]:
        """Commit, unless rows were read again that all failed as before; then write the summary."""
        if len(self.staging.written) == self.resumed_rows:  # no row was read by this run, which has yet to be reported
            rows = self.job.table.rows
            emit_started(self.job.config, self.staging.token, rows, rows, 0)
        staged = self.staged_results()
        if staged.failed_as_before and self.state.latest:
            self.folder.write_failed(self.state.latest, staged.failed)
            self.folder.drop_staging(self.identity)
            latest = self.state.latest
        else:
            latest = self.commit = commit(staged, self.state, self.job, self.identity, self.folder, self.started)
        summary = replace(summary, **_of_table(latest), resumed_rows=self.resumed_rows)
        summary = replace(summary, files=[file.path for file in self.folder.table.files()])
        write_summary(self.folder, summary)
        return summary, {"version": latest.version, "committed": self.commit is not None, **latest.counts}

    def staged_results(self) -> StagedResults:
        """Rewrite the data files that change, and return all that is ready to be committed."""
        as_before = self.plan.retries_only and self._failed_as_before()
        failed = _rows_at(RowSet.union(part.retryable for part in self.staging.parts), self.numbers)
        tried = {*self.plan.retry, *_rows_at(self.again, self.numbers)}
        return StagedResults(
            plan=self.plan,
            token=self.staging.token,
            results=tuple(self.staging.parts if as_before else self._of_good_size()),
            moved=len(self.moved),
            rewritten=() if as_before else self._rewrite(),
            columns=self.columns,
            snapshot=_snapshot(self.plan, self.job.table, self.job.config),
            failed=self.state.failed.within(self.plan.diff.unchanged.versions).updated(tried, failed),
            failed_as_before=as_before,
        )

    def _of_good_size(self) -> list[ResultFile]:
        """Return the files of results that the table will have: small ones are joined, and go after the commit."""
        least_bytes = self.job.config.output.least_file_bytes
        if not least_bytes or not self.staging.parts:
            return self.staging.parts
        return join_small_files(self.staging.work, self.staging.parts, least_bytes)

    def _failed_as_before(self) -> bool:
        """Return whether each row that was read has errors, the same as in the table."""
        paths = [f"{PARTS}/{self.staging.token}/{part.name}" for part in self.staging.parts]
        staged = stored_rows(self.folder, paths, self.numbers.keys())
        before = dict(zip(self.stored.row_keys(self.numbers).tolist(), self.stored.errors, strict=True))
        now = zip(staged.row_keys(self.numbers).tolist(), staged.errors, strict=True)
        return all(errors and before.get(key) == errors for key, errors in now)

    def _rewrite(self) -> tuple[Rewritten, ...]:
        """Rewrite the data files that change; if a column's type does, all of them."""
        change = Rewrite(self.plan.outdated, self.moved, self.again, self.job.table, self.numbers, self.columns)
        types = {column.name: column.type for column in self.state.columns}
        retyped = any(types.get(column.name, column.type) != column.type for column in self.columns)
        files = self.state.data_files if retyped and not self.plan.replaced else self.plan.rewrite
        targets = [f"{self.staging.token}/rest-{number:06d}.parquet" for number in range(len(files))]
        done = each(lambda pair: rewrite(self.folder, pair[0], pair[1], change), zip(files, targets, strict=True))
        return tuple(one for one in done if one is not None)


def allow_failures(config: JobConfig, plan: ReindexPlan, table: InputTable) -> JobConfig:
    """Return the config with a `max_error_rate` by which all rows that had failed may fail again."""
    read = {file.name for file in plan.read}
    rows = sum(file.rows for file in table.files if file.name in read) + len(plan.images)
    again = plan.retried
    rate = min(1.0, (config.max_error_rate * rows + again) / max(1, rows + again))
    return config.model_copy(update={"max_error_rate": rate}) if again else config


def write_summary(folder: TableFolder, summary: Summary) -> None:
    """Write `_summary.json`."""
    text = json.dumps(asdict(summary), indent=2)
    write_whole(folder.filesystem, f"{folder.root}/{SUMMARY}", text.encode() + b"\n")


def summary_of(commit: Commit, folder: TableFolder, output: str) -> Summary:
    """Return the summary of a table that needs nothing done."""
    written = WorkFolder(folder.filesystem, folder.root).read(SUMMARY) or {}
    rates = ("pairs_per_second", "model_seconds", "micro_batches", "tokens", "batch_fill")
    known: dict[str, Any] = {name: written.get(name, 0) for name in rates}
    files = [file.path for file in folder.table.files()]
    return Summary(
        **_of_table(commit), **known, output=output, files=files, resumed_rows=0, seconds=0.0, finished_before=True
    )


def _of_table(commit: Commit) -> dict[str, Any]:
    """Return what a commit says of the whole table, as fields of a summary."""
    rows, errors = commit.counts["rows_out"], commit.standing
    return {
        "tasks": commit.lineage["vilt.task"].split(","),
        "rows_in": commit.counts["rows_in"],
        "rows_out": commit.counts["rows_in"],
        "pairs": rows,
        "scored": rows - sum(errors.values()),
        "rejected": errors,
        "texts_truncated": commit.texts_truncated,
        "lineage": commit.lineage,
        "identity": commit.identity,
        "input": commit.input,
        "command": commit.command,
        "config": commit.config,
        "finished_at": commit.at,
    }


def _snapshot(plan: ReindexPlan, table: InputTable, config: JobConfig) -> InputSnapshot:
    """Return the input's files after the run."""
    files, columns = dict(plan.diff.unchanged.files), carried_columns(table, config)
    read = {file.name for file in plan.read}
    for file in table.files:
        if file.name in read:
            files[file.name] = SnapshotFile(file.file.version, file.rows, columns)
    return InputSnapshot(files)


def _row_set(rows: Iterable[InputRow], numbers: Mapping[FileVersion, int]) -> RowSet:
    """Return where rows are among the files being read."""
    return RowSet.of(np.array([row_key(numbers[row.file], row.row) for row in rows], np.int64))


def _rows_at(keys: RowSet, numbers: Mapping[FileVersion, int]) -> tuple[InputRow, ...]:
    """Return the rows under these keys."""
    versions = {number: version for version, number in numbers.items()}
    return tuple(InputRow(versions[file], row) for file, first, end in keys.ranges() for row in range(first, end))
