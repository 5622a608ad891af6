"""A table of results as a Delta Lake table: its versions, and commits that readers see whole or not at all.

Data files lie in OUT/parts/TOKEN/; OUT/_delta_log says which of them make up the table.
"""

from __future__ import annotations

import math
import os.path
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
from deltalake import DeltaTable, Schema, TableFeatures
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from pipeline.common.errors import BusyError, ConfigError, RowsLostError, first_line
from pipeline.common.parsers import without_panics
from pipeline.config.storage import StorageConfig
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import Added, DataFile, data_files
from pipeline.results.untrusted import check_paths
from pipeline.storage.filesystem import open_fsspec, storage_errors
from pipeline.storage.object_store import delta_options
from pipeline.tables.formats.delta.checks import check_checkpoint, check_plain
from vilt.common.counts import counted

KEEP_ALL = {"delta.enableExpiredLogCleanup": "false"}  # earlier versions stay until `retention_days` removes them
CHECKPOINT_ACTIONS = 10_000  # of one commit, from which on a checkpoint follows it: 11 MB of JSON
UNREADABLE = (DeltaError, ValueError, TypeError, OSError, pa.ArrowException)


class ResultTable:
    """The Delta table at `uri`, as it is now.

    Attributes:
        table: None if there is none yet.

    Raises:
        ConfigError: The table cannot be read; the message names the config's `key`.
    """

    def __init__(self, uri: str, storage: StorageConfig, key: str = "output.path") -> None:
        self.uri, self.options = uri.rstrip("/").replace("s3a://", "s3://"), delta_options(uri, storage)
        self.table: DeltaTable | None = None
        self.key = key
        try:
            with without_panics(f"{key}: the Delta table {uri!r}"):
                if DeltaTable.is_deltatable(self.uri, self.options):
                    check_checkpoint(*open_fsspec(uri, key, storage), key)
                    table = DeltaTable(self.uri, storage_options=self.options)
                    check_plain(table, *open_fsspec(uri, key, storage), key)
                    self.table = table
        except ConfigError:
            raise
        except (*storage_errors(), DeltaError, ValueError) as error:
            if os.path.isfile(uri):
                raise ConfigError(f"{key}: {uri!r} is a file; name a folder of results") from None
            raise ConfigError(f"{key}: cannot read the Delta table {uri!r}: {first_line(error)}") from None

    @property
    def exists(self) -> bool:
        """Return whether there is a Delta table."""
        return self.table is not None

    def commits(self, limit: int | None = None) -> list[Commit]:
        """Return our commits up to this version, the latest first; of the newest `limit` commits of anybody."""
        if self.table is None:
            return []
        try:
            with without_panics(f"{self.key}: the log of {self.uri!r}"):
                found = [Commit.from_log(entry) for entry in self.table.history(limit)]
        except (DeltaError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{self.key}: the log of {self.uri!r} is damaged: {first_line(error)}") from None
        return [commit for commit in found if commit is not None]

    def latest(self) -> Commit | None:
        """Return our last commit, which says what the table holds."""
        return next(iter(self.commits(limit=20) or self.commits()), None)

    def files(self) -> list[DataFile]:
        """Return the data files of this version, all of which lie in the table's folder.

        Raises:
            ConfigError: The log names a file elsewhere.
        """
        if self.table is None:
            return []
        with without_panics(f"{self.key}: the log of {self.uri!r}"):
            files = data_files(self.table)
        check_paths((file.path for file in files), f"{self.key}: the Delta table {self.uri!r}")
        return files

    def schema(self) -> pa.Schema:
        """Return the table's columns; none if there is no table yet."""
        return pa.schema([] if self.table is None else self.table.schema().to_arrow())

    def commit(self, adds: Sequence[Added], removes: Sequence[DataFile], schema: pa.Schema, commit: Commit) -> int:
        """Add and remove data files, at once, and read the table back.

        Args:
            adds: Data files that are written.
            removes: Data files that leave the table. If all do, the table takes the new columns as they are.
            schema: All columns that the table has then; those that stay have their types.
            commit: What the log is to say.

        Returns:
            The new version.

        Raises:
            BusyError: Another program has changed the table meanwhile.
            RowsLostError: The table could not be read with these files; it is as it was.
        """
        actions, before = [add.action for add in adds], self.latest()
        files = {file.path for file in self.files()}
        expected = files - {file.path for file in removes} | {action.path for action in actions}
        rows = sum(file.rows for file in self.files()) - sum(file.rows for file in removes)
        _rehearse(adds, schema)
        try:
            if self.table is None:
                create_table_with_add_actions(
                    self.uri,
                    Schema.from_arrow(schema),
                    actions,
                    configuration=KEEP_ALL,
                    storage_options=self.options,
                    commit_properties=commit.properties(),
                )
            elif files == {file.path for file in removes}:
                self._replace(actions, Schema.from_arrow(schema), commit)
            else:
                self._change(actions, removes, Schema.from_arrow(schema), commit)
        except DeltaError as error:
            raise BusyError(f"{self.uri}: the commit was refused, {first_line(error)}; run it again") from None
        version = self._read_back(expected, rows + sum(add.rows for add in adds), before)
        if len(adds) + len(removes) >= CHECKPOINT_ACTIONS:
            self._checkpoint()
        return version

    def restore(self, version: int, commit: Commit) -> int:
        """Make an earlier version the latest.

        Returns:
            The new version.

        Raises:
            ConfigError: The files of that version are gone.
        """
        assert self.table is not None
        try:
            self.table.restore(version, commit_properties=commit.properties())
            return self.table.version()
        except (DeltaError, ValueError, OSError) as error:
            raise ConfigError(f"--rollback: version {version} cannot be restored: {first_line(error)}") from None

    def vacuum(self, days: float) -> None:
        """Remove the data files that no version of the last `days` days has."""
        assert self.table is not None
        self.table.vacuum(retention_hours=math.ceil(days * 24), dry_run=False, enforce_retention_duration=False)

    def _checkpoint(self) -> None:
        """Write the log's state as Parquet beside it, which readers take for an entry of very many lines of JSON."""
        assert self.table is not None
        with suppress(*UNREADABLE):  # the commit stands without it
            self.table.create_checkpoint()

    def _replace(self, actions: list[AddAction], schema: Schema, commit: Commit) -> None:
        """Replace all data files, and the columns."""
        assert self.table is not None
        self._allow_times_without_zone(schema)
        self.table.create_write_transaction([*actions], "overwrite", schema, commit_properties=commit.properties())

    def _change(self, actions: list[AddAction], removes: Sequence[DataFile], schema: Schema, commit: Commit) -> None:
        """Add and remove some data files, once the columns that are new are there."""
        assert self.table is not None
        known = {column.name for column in self.table.schema().fields}
        fresh = [column for column in schema.fields if column.name not in known]
        if fresh:
            self._allow_times_without_zone(schema)
            self.table.alter.add_columns(fresh)
        now = int(time.time() * 1000)
        gone = [RemoveAction(file.path, True, now, size=file.size, partition_values={}) for file in removes]
        self.table.create_write_transaction(
            [*actions, *gone], "append", self.table.schema(), commit_properties=commit.properties()
        )

    def _allow_times_without_zone(self, schema: Schema) -> None:
        """Let the table have columns of times without a zone, if `schema` has some."""
        assert self.table is not None
        if "timestamp_ntz" in schema.to_json() and "timestampNtz" not in (self.table.protocol().reader_features or ()):
            feature = TableFeatures.TimestampWithoutTimezone
            self.table.alter.add_feature(feature, allow_protocol_versions_increase=True)

    def _read_back(self, paths: Collection[str], rows: int, before: Commit | None) -> int:
        """Read the table as another program would; the version.

        Raises:
            RowsLostError: It is not what was committed; the version before is the latest again, if there is one.
        """
        try:
            table = DeltaTable(self.uri, storage_options=self.options)
            _check(table, paths, rows)
        except UNREADABLE as error:
            raise RowsLostError(
                f"{self.uri}: the commit cannot be read back: {first_line(error)}; {self._undo(before)}"
            ) from None
        self.table = table
        return table.version()

    def _undo(self, before: Commit | None) -> str:
        """Restore what the commit before left; return what came of it, for a message."""
        if before is None:
            return "remove the table's folder and run it again"
        with suppress(*UNREADABLE):
            properties = replace(before, restored=before.version).properties()
            DeltaTable(self.uri, storage_options=self.options).restore(before.version, commit_properties=properties)
            return f"version {before.version} was restored"
        return f"restore version {before.version}"


def _check(table: DeltaTable, paths: Collection[str], rows: int) -> None:
    """Check that a table can be read, and has these data files. Raises one of UNREADABLE."""
    files = data_files(table)
    if {file.path for file in files} != set(paths) or sum(file.rows for file in files) != rows:
        raise ValueError(f"{counted(len(files), 'file')} with other rows than were written")
    pa.schema(table.schema().to_arrow())


def _rehearse(adds: Sequence[Added], schema: pa.Schema) -> None:
    """Commit the same entries to a table beside, in a temporary folder, and read them.

    An entry that no reader understands would make the table itself unreadable for ever.

    Raises:
        RowsLostError: They cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="vilt-commit-") as folder:
        try:
            create_table_with_add_actions(folder, Schema.from_arrow(schema), [add.action for add in adds])
            _check(DeltaTable(folder), [add.action.path for add in adds], sum(add.rows for add in adds))
        except UNREADABLE as error:
            raise RowsLostError(
                f"the commit could not be read: {first_line(error)}; nothing was committed, what was written stays"
            ) from None
