"""Carry out a plan: read rows, find those that have moved, rewrite data files; the table itself stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from pipeline.cluster.session import ray_session
from pipeline.common.row_ranges import Places, place_of
from pipeline.config.job import JobConfig
from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile
from pipeline.reindexing.plan import ReindexPlan, TableState
from pipeline.reindexing.retries import FailedRows, InputRow
from pipeline.reindexing.rewriting import Rewrite, Rewritten, check_rewrite, rewrite
from pipeline.reindexing.stored_rows import Moved, StoredRows, find_moved, stored_rows
from pipeline.reindexing.table_columns import carried_columns, check_values, table_columns
from pipeline.reindexing.table_folder import PARTS, TableFolder
from pipeline.results.file_footer import Written
from pipeline.results.row_source import FileVersion
from pipeline.results.staging import Staging, file_numbers
from pipeline.results.work_folder import each
from pipeline.scoring.dataflow import write_rest
from pipeline.stages.checkpoints import Models
from pipeline.tables.table import InputTable, Listing, open_table


@dataclass(frozen=True)
class ReindexJob:
    """What a run knows beside its plan.

    Attributes:
        config: The job.
        models: Its checkpoints.
        listing: The files of the input.
        identity: See `identity_of`.
        every: Seconds between two events of progress.
    """

    config: JobConfig
    models: Models
    listing: Listing
    identity: dict[str, str]
    every: float


@dataclass(frozen=True)
class StagedResults:
    """What is written and ready to be committed.

    Attributes:
        plan: What was to do.
        token: Name of the folder with the files.
        results: Files with the rows that were read.
        resumed_rows: Rows of the input among these that an earlier run had read.
        moved: How many rows keep their results at a new place.
        rewritten: Data files that are replaced.
        columns: The columns of the table after the commit, but for those that results add.
        snapshot: The input that the table is made from after the commit.
        failed: The rows whose error may pass after the commit.
        failed_as_before: Whether rows were read again, nothing else was done, and each has the error that it had.
    """

    plan: ReindexPlan
    token: str
    results: tuple[Written, ...]
    resumed_rows: int
    moved: int
    rewritten: tuple[Rewritten, ...]
    columns: pa.Schema
    snapshot: InputSnapshot
    failed: FailedRows
    failed_as_before: bool

    @property
    def total(self) -> Written:
        """Return the counts of the rows that were read."""
        return Written.total(self.results)


@dataclass(frozen=True)
class _ReadRows:
    """What came of reading.

    Attributes:
        resumed_rows: See `StagedResults`.
        moved: Rows that keep their results at a new place.
        again: Rows that are in the table and were read again.
        failed: Rows that were read and whose error may pass.
        failed_as_before: See `StagedResults`.
    """

    resumed_rows: int = 0
    moved: Moved = field(default_factory=Moved.none)
    again: Places = field(default_factory=Places.none)
    failed: tuple[InputRow, ...] = ()
    failed_as_before: bool = False


def apply(plan: ReindexPlan, state: TableState, job: ReindexJob, folder: TableFolder) -> StagedResults:
    """Carry out a plan.

    Raises:
        ConfigError: The files that are new do not fit; nothing was done.
        TooManyErrorsError: `max_error_rate` is exceeded; what was written stays for the next run.
        RowsLostError: Rows are missing; what was written stays for the next run.
    """
    table = _open(plan, job)
    numbers = {} if table is None else file_numbers(table)
    columns = state.columns if table is None else _columns(plan, state, table, job.config, folder)
    staging = folder.staging(job.identity)
    if table is None:
        staging.discard()
        read = _ReadRows()
    else:
        read = _read(plan, table, columns, job, folder, staging)
    change = Rewrite(plan.outdated, read.moved, read.again, table, numbers, columns)
    tried = {*plan.retry, *_rows_at(read.again, numbers)}
    return StagedResults(
        plan=plan,
        token=staging.token,
        results=tuple(staging.parts),
        resumed_rows=read.resumed_rows,
        moved=len(read.moved),
        rewritten=() if read.failed_as_before else _rewrite(plan, state, change, folder, staging.token),
        columns=columns,
        snapshot=_snapshot(plan, table, job.config),
        failed=state.failed.within(plan.diff.unchanged.versions).updated(tried, read.failed),
        failed_as_before=read.failed_as_before,
    )


def _open(plan: ReindexPlan, job: ReindexJob) -> InputTable | None:
    """Open the files of which rows are read; None if there is none."""
    names = {file.name for file in plan.read} | {file.name for file in plan.retry.files}
    listed = [file for file in job.listing.found if file.name in names]
    return open_table(job.config, replace(job.listing, found=listed)) if listed else None


def _columns(
    plan: ReindexPlan, state: TableState, table: InputTable, config: JobConfig, folder: TableFolder
) -> pa.Schema:
    """Return the columns of the table after the run. Raises ConfigError if a value does not fit."""
    stored = pa.schema([]) if plan.replaced else state.columns
    columns = table_columns(table, config, plan.diff.unchanged, stored)
    check_values(table, config, columns)
    if not plan.replaced:
        check_rewrite(folder, state.data_files, plan.outdated, columns)
    return columns


def _read(
    plan: ReindexPlan, table: InputTable, columns: pa.Schema, job: ReindexJob, folder: TableFolder, staging: Staging
) -> _ReadRows:
    """Read the rows that are new, changed or tried again into `staging`."""
    config, types = job.config, {column.name: column.type for column in columns}
    numbers = file_numbers(table)
    staging.resume(table, types)
    resumed = staging.written
    revisited = stored_rows(folder, [file.path for file in plan.rewrite], plan.retry.files)
    stored = revisited.places(numbers)
    is_again = Places.union([_places(plan.retry, numbers), resumed]).contains(stored)
    again, staging.in_table = Places.of(stored[is_again]), Places.of(stored[~is_again])
    moved = Moved.none()
    with ray_session(config.ray.address):
        if plan.reuse:
            outdated = stored_rows(folder, [file.path for file in plan.reuse], plan.outdated)
            moved = find_moved(table, config, Places.union([staging.done, again]), outdated)
            staging.in_table = Places.union([staging.in_table, moved.places])
        if len(staging.done) < table.rows:
            config = _allow_failures(config, len(again), table.rows - len(staging.in_table))
            before = Written.total(staging.parts)
            staging.parts += write_rest(config, table, job.models, staging, before, job.every, types=types)
    staging.audit(table.rows)
    same = plan.retries_only and _failed_as_before(revisited, staging, folder, numbers)
    failed = _rows_at(Places.union(part.retryable for part in staging.parts), numbers)
    return _ReadRows(len(resumed), moved, again, failed, same)


def _failed_as_before(
    stored: StoredRows, staging: Staging, folder: TableFolder, numbers: Mapping[FileVersion, int]
) -> bool:
    """Return whether each row that was read has errors, the same as in the table."""
    staged = stored_rows(folder, [f"{PARTS}/{staging.token}/{part.name}" for part in staging.parts], numbers.keys())
    before = dict(zip(stored.places(numbers).tolist(), stored.errors, strict=True))
    now = zip(staged.places(numbers).tolist(), staged.errors, strict=True)
    return all(errors and before.get(place) == errors for place, errors in now)


def _allow_failures(config: JobConfig, again: int, rows: int) -> JobConfig:
    """Return the config with a `max_error_rate` by which all rows that had failed may fail again."""
    rate = min(1.0, config.max_error_rate + again / rows)
    return config.model_copy(update={"max_error_rate": rate}) if again else config


def _rewrite(
    plan: ReindexPlan, state: TableState, change: Rewrite, folder: TableFolder, token: str
) -> tuple[Rewritten, ...]:
    """Rewrite the data files that change; if a column's type does, all of them."""
    types = {column.name: column.type for column in state.columns}
    retyped = any(types.get(column.name, column.type) != column.type for column in change.columns)
    files = state.data_files if retyped and not plan.replaced else plan.rewrite
    targets = [f"{token}/rest-{number:06d}.parquet" for number in range(len(files))]
    done = each(lambda pair: rewrite(folder, pair[0], pair[1], change), zip(files, targets, strict=True))
    return tuple(one for one in done if one is not None)


def _snapshot(plan: ReindexPlan, table: InputTable | None, config: JobConfig) -> InputSnapshot:
    """Return the input's files after the run."""
    files = dict(plan.diff.unchanged.files)
    if table is not None:
        columns = carried_columns(table, config)
        read = {file.name for file in plan.read}
        for file in table.files:
            if file.found.name in read:
                rows = sum(piece.rows for piece in file.pieces)
                files[file.found.name] = SnapshotFile(file.found.edition, rows, columns)
    return InputSnapshot(files)


def _places(rows: Iterable[InputRow], numbers: Mapping[FileVersion, int]) -> Places:
    """Return where rows are among the files being read."""
    return Places.of(np.array([place_of(numbers[row.file], row.row) for row in rows], np.int64))


def _rows_at(places: Places, numbers: Mapping[FileVersion, int]) -> tuple[InputRow, ...]:
    """Return the rows at these places."""
    versions = {number: version for version, number in numbers.items()}
    return tuple(InputRow(versions[file], row) for file, first, end in places.ranges() for row in range(first, end))
