"""Keep a Delta table of results equal to an input that grows and changes: read what is new, drop what is gone."""

from __future__ import annotations

import time
from dataclasses import replace

import pyarrow as pa

from pipeline.cluster.session import ray_session
from pipeline.common.errors import ConfigError, RowsLostError
from pipeline.common.row_ranges import Places
from pipeline.config.job import JobConfig, StorageConfig
from pipeline.monitoring.progress_reporter import LINE_EVERY
from pipeline.reindexing.changes import (
    NO_MOVES,
    Changes,
    files_with,
    find_moved,
    places_of,
    results_of,
    rewrite,
    sources_to_retry,
)
from pipeline.reindexing.input_snapshot import Editions
from pipeline.reindexing.table_folder import TableFolder, opened
from pipeline.results.delta_table import Commit, DataFile
from pipeline.results.delta_types import delta_schema
from pipeline.results.file_footer import Written, done_places
from pipeline.results.staging import Staging
from pipeline.results.work_folder import each
from pipeline.scoring.dataflow import score_rows
from pipeline.scoring.prepare import PreparedJob
from pipeline.scoring.run import storage_failures
from pipeline.stages.checkpoints import Models, check_models, fit_inputs
from pipeline.tables.format import Listing
from pipeline.tables.table import InputTable, list_table, open_table


def reindex(
    config: JobConfig, retry_errors: bool = False, follow: bool = True, every: float = LINE_EVERY
) -> tuple[Commit, bool]:
    """Bring the table at `output.path` up to date with the input: one commit, or none where nothing has changed.

    What the last commit tells, and whether it is new. With another model or config than that commit's, everything is
    read anew, and readers see the rows before until all are there. retry_errors: read rows again whose error may pass.
    follow: false: the table must not be there yet, but for `output.overwrite`, or with just these results. every:
    seconds between two events of progress.

    A run that was stopped goes on where it was. Raises ConfigError before anything starts, BusyError where another run
    is at work; StorageFailedError, TooManyErrorsError and RowsLostError before anything is committed.
    """
    config = fit_inputs(config)
    models = check_models(config)
    listing = list_table(config.input, config.storage)
    with opened(config.output.path, config.storage) as folder, storage_failures():
        return _Run(config, models, listing, folder, every).run(retry_errors, follow)


def rollback(uri: str, storage: StorageConfig, version: int | None = None) -> Commit:
    """Make an earlier version of the table its latest: one commit. version: default: the one before.

    Raises ConfigError where there is no such version, or its files are gone; BusyError.
    """
    with opened(uri, storage) as folder, storage_failures():
        return folder.restore(version)


class _Run:
    """One run. folder: of the table, locked."""

    def __init__(self, config: JobConfig, models: Models, listing: Listing, folder: TableFolder, every: float) -> None:
        self.config, self.models, self.listing, self.folder = config, models, listing, folder
        self.started, self.every = time.monotonic(), every
        self.before, lineage = folder.latest, models.lineage
        self.identity = {"model": lineage["vilt.weights_sha256"], "config": lineage["vilt.config_sha256"]}
        self.data = folder.table.files()

    def run(self, retry_errors: bool, follow: bool) -> tuple[Commit, bool]:
        fresh, found = not follow and self.config.output.overwrite, self.listing.files
        same = self.before is not None and self.before.identity == self.identity and not fresh
        self.known = self.folder.editions() if same else Editions.none()
        new, gone = self.known.new(found), self.known.gone(found)
        retry = sources_to_retry(self.folder, self.data) - gone.pairs if retry_errors and same else set()
        if self.before and same and not (new or gone.files or retry):
            return self.before, False
        if self.before and not (follow or fresh):
            raise ConfigError(
                f"output.path: {self.config.output.path!r} holds the results of another config or input; choose "
                "another folder, set output.overwrite=true to replace them, or follow the input with `vilt reindex`"
            )
        staging = self.folder.staging(self.identity)
        changes = Changes(gone.pairs, NO_MOVES, retry, Places.none(), None)
        if new or retry:
            names = {file.name for file in new} | {name for name, _ in retry}
            listing = replace(self.listing, files=[file for file in found if file.name in names])
            changes = self._read(staging, changes, open_table(self.config, listing))
        else:
            staging.discard()
        return self._commit(staging, changes, self.data if not same else None), True

    def _read(self, staging: Staging, changes: Changes, table: InputTable) -> Changes:
        """Read what is new into `staging`; the changes with what was found."""
        schema = self.folder.table.schema()
        own = delta_schema(_carried(table, self.config), schema)
        types = {column.name: column.type for column in (*schema, *own)}
        staging.load(table)
        changes = replace(changes, table=table)
        if changes.revisited:
            found = results_of(self.folder, self.data, changes.revisited)
            places, again = places_of(found, changes), found["again"].to_numpy()
            changes = replace(changes, again=Places.of(places[again]))
            staging.known = Places.of(places[~again])
        before = Written.total(staging.parts)
        with ray_session(self.config.ray.address):
            if changes.leaving:
                leaving = results_of(self.folder, self.data, changes.leaving)
                done = Places.union([staging.done, changes.again])
                changes = replace(changes, moved=find_moved(table, self.config, done, leaving))
                moved = Places.of(changes.moved["place"].to_numpy())
                staging.known = Places.union([staging.known, moved])
            if len(staging.done) < table.rows:
                job = PreparedJob(self.config, table, self.models)
                staging.parts += score_rows(job, staging, before, self.every, types)
        staging.audit(table.rows)
        return changes

    def _commit(self, staging: Staging, changes: Changes, replaced: list[DataFile] | None) -> Commit:
        """Commit. replaced: the data files that leave as a whole; None: what has changed decides."""
        folder, table = self.folder, changes.table
        names = {name for name, _ in (*changes.leaving, *changes.revisited)}
        rest: list[str] = []
        if replaced is None:
            touched = files_with(self.data, names)
            targets = [f"{staging.token}/rest-{number:06d}.parquet" for number in range(len(touched))]
            pairs = list(zip(touched, targets, strict=True))
            kept = each(lambda pair: rewrite(folder, pair[0], pair[1], changes), pairs)
            replaced = [file for file, rows in zip(touched, kept, strict=True) if rows is not None]
            rest = [target for target, rows in zip(targets, kept, strict=True) if rows]
        adds = folder.adds([*(f"{staging.token}/{part.name}" for part in staging.parts), *rest])
        written = sum(part.rows for part in staging.parts)
        if sum(add.rows for add in adds[: len(staging.parts)]) != written:
            raise RowsLostError(f"{staging.folder}: the files hold other rows than were written; run it again")
        files = {file.name: self.known.files.get(file.name, ("", 0)) for file in self.listing.files}
        for file in table.files if table else ():
            files[file.name] = (file.file.version, file.rows)
        editions = Editions(files)
        total, left = Written.total(staging.parts), sum(file.rows for file in replaced)
        counts = {
            "files": len(files),
            "files_new": len(files.keys() - self.known.files.keys()),
            "files_changed": len(files.keys() & {name for name, _ in changes.leaving}),
            "files_gone": len({name for name, _ in changes.leaving} - files.keys()),
            "rows_in": editions.rows,
            "rows_read": len(done_places(staging.parts)),
            "rows_moved": changes.moved.num_rows,
            "rows_left": left - sum(add.rows for add in adds[len(staging.parts) :]),
            "rows_out": sum(file.rows for file in self.data) - left + sum(add.rows for add in adds),
        }
        lineage = {**self.models.lineage, "vilt.precision": ", ".join(sorted(total.devices))}
        commit = Commit(
            token=staging.token,
            identity=self.identity,
            counts=counts,
            rejected=dict(total.errors.most_common()),
            lineage=lineage,
            seconds=round(time.monotonic() - self.started, 3),
            input=self.config.input.model_dump(exclude_defaults=True),
        )
        return folder.commit(commit, adds, replaced, editions, self.config.output.retention_days)


def _carried(table: InputTable, config: JobConfig) -> pa.Schema:
    """The columns of the input as results carry them: of a list of texts, each row has its own."""
    lists = config.text_columns if table.columns.text_is_list else []
    kinds = [(name, table.schema.field(name).type) for name in table.columns.names]
    return pa.schema([(name, pa.string() if name in lists else kind) for name, kind in kinds])
