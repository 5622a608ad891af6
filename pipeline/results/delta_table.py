"""A table of results as a Delta Lake table: its versions, and commits that readers see whole or not at all.

Data files lie in OUT/parts/TOKEN/; which of them make up the table, OUT/_delta_log tells.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, create_table_with_add_actions
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_SOURCE
from pipeline.common.errors import BusyError, ConfigError, first_line
from pipeline.config.job import StorageConfig
from pipeline.storage.filesystem import STORAGE_ERRORS, arrow_filesystem

KEY = "vilt.commit"  # of what a commit of ours says of itself
SOURCE_FILE = f"{ROW_SOURCE}.file"
KEEP_ALL = {"delta.enableExpiredLogCleanup": "false"}  # earlier versions stay until `retention_days` removes them


@dataclass(frozen=True)
class Commit:
    """What a commit says of itself.

    token: of the run's folder of data files. identity: of model and config. counts: of files and rows, by what became
    of them. rejected: reason -> rows, of those that this run read. lineage: key -> value, as in the footers. input: the
    section of the config. index: the file with the editions of the input. restored: the version that this one is again.
    """

    token: str
    identity: dict[str, str]
    counts: dict[str, int]
    rejected: dict[str, int]
    lineage: dict[str, str]
    seconds: float
    input: dict[str, Any]
    index: str = ""
    restored: int | None = None
    version: int = field(default=-1, compare=False)
    at: float = field(default=0.0, compare=False)  # seconds since 1970

    def summary(self, uri: str) -> dict[str, Any]:
        """What `_summary.json` would say of all rows of the table, as far as a commit knows."""
        return {
            "tasks": self.lineage["vilt.task"].split(","),
            "output": uri,
            "rows_in": self.counts["rows_in"],
            "rows_out": self.counts["rows_out"],
            "pairs": self.counts["rows_out"],
            "files": [f"version {self.version}"],
            "seconds": self.seconds,
            "lineage": self.lineage,
            "identity": self.identity,
            "input": self.input,
        }

    def properties(self) -> CommitProperties:
        """For the log. A commit of somebody else in between is not merged with: it may have removed our files."""
        own = {key: value for key, value in asdict(self).items() if key not in ("version", "at")}
        return CommitProperties(custom_metadata={KEY: json.dumps(own)}, max_commit_retries=0)


@dataclass(frozen=True)
class DataFile:
    """A file of the table. path: below the table's folder. first, last: of its `row_source.file`, where known."""

    path: str
    size: int
    rows: int
    first: str | None
    last: str | None


class ResultTable:
    """The Delta table at `uri`, as it is now. table: None where there is none yet.

    Raises ConfigError, which names the config's `key`, where it cannot be read.
    """

    def __init__(self, uri: str, storage: StorageConfig, key: str = "output.path") -> None:
        self.uri, self.options = uri.rstrip("/").replace("s3a://", "s3://"), delta_options(uri, storage)
        self.table: DeltaTable | None = None
        try:
            if DeltaTable.is_deltatable(self.uri, self.options):
                self.table = DeltaTable(self.uri, storage_options=self.options)
        except (*STORAGE_ERRORS, DeltaError, ValueError) as error:
            raise ConfigError(f"{key}: cannot read the Delta table {uri!r}: {first_line(error)}") from None

    @property
    def exists(self) -> bool:
        """Whether there is a Delta table."""
        return self.table is not None

    def commits(self, limit: int | None = None) -> list[Commit]:
        """Our commits up to this version, the latest first; of the newest `limit` commits of anybody."""
        if self.table is None:
            return []
        found = [entry for entry in self.table.history(limit) if KEY in entry]
        return [
            Commit(**json.loads(entry[KEY]), version=entry["version"], at=entry["timestamp"] / 1000) for entry in found
        ]

    def latest(self) -> Commit | None:
        """Our last commit, which says what the table holds."""
        return next(iter(self.commits(limit=20) or self.commits()), None)

    def files(self) -> list[DataFile]:
        """The data files of this version."""
        if self.table is None:
            return []
        actions = pa.table(self.table.get_add_actions(flatten=True))
        count = actions.num_rows
        names = ("path", "size_bytes", "num_records", f"min.{SOURCE_FILE}", f"max.{SOURCE_FILE}")
        columns = [actions[n].to_pylist() if n in actions.column_names else [None] * count for n in names]
        return [DataFile(*values) for values in zip(*columns, strict=True)]

    def schema(self) -> pa.Schema:
        """The table's columns; none where there is no table yet."""
        return pa.schema([] if self.table is None else self.table.schema().to_arrow())

    def commit(self, adds: Sequence[AddAction], removes: Sequence[DataFile], schema: pa.Schema, commit: Commit) -> int:
        """Add and remove data files, at once; the new version. Columns that are new are added first.

        Raises BusyError where another program has changed the table meanwhile: the next run goes on.
        """
        try:
            if self.table is None:
                create_table_with_add_actions(
                    self.uri,
                    Schema.from_arrow(schema),
                    list(adds),
                    configuration=KEEP_ALL,
                    storage_options=self.options,
                    commit_properties=commit.properties(),
                )
                self.table = DeltaTable(self.uri, storage_options=self.options)
                return self.table.version()
            known = {column.name for column in self.table.schema().fields}
            fresh = [column for column in Schema.from_arrow(schema).fields if column.name not in known]
            if fresh:
                self.table.alter.add_columns(fresh)
            now = int(time.time() * 1000)
            gone = [RemoveAction(file.path, True, now, size=file.size, partition_values={}) for file in removes]
            self.table.create_write_transaction(
                [*adds, *gone], "append", self.table.schema(), commit_properties=commit.properties()
            )
            self.table.update_incremental()
            return self.table.version()
        except DeltaError as error:
            raise BusyError(f"{self.uri}: the commit was refused, {first_line(error)}; run it again") from None

    def restore(self, version: int, commit: Commit) -> int:
        """Make an earlier version the latest; the new version. Raises ConfigError where its files are gone."""
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


def delta_options(uri: str, storage: StorageConfig) -> dict[str, str]:
    """What deltalake needs to open `uri`: for s3:// the config's section `storage`, else nothing."""
    if urlsplit(uri).scheme not in ("s3", "s3a"):
        return {}
    secrets = {
        "AWS_ACCESS_KEY_ID": storage.key,
        "AWS_SECRET_ACCESS_KEY": storage.secret,
        "AWS_SESSION_TOKEN": storage.token,
    }
    options = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    if storage.endpoint_url is not None:
        options["AWS_ENDPOINT_URL"] = storage.endpoint_url
    if storage.region is not None:
        options["AWS_REGION"] = storage.region
    if storage.anon:
        options["AWS_SKIP_SIGNATURE"] = "true"
    return {**options, "AWS_ALLOW_HTTP": "true"}


class Added(NamedTuple):
    """A data file for the log, its rows and its columns."""

    action: AddAction
    rows: int
    schema: pa.Schema


def add_action(filesystem: AbstractFileSystem, root: str, path: str) -> Added:
    """The data file that lies at `path` below `root`, with the statistics of its footer."""
    metadata = pq.read_metadata(f"{root}/{path}", filesystem=arrow_filesystem(filesystem))
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, Any] = {}
    for number in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(number) for group in range(metadata.num_row_groups)]
        keys = chunks[0].path_in_schema.split(".")
        found = [chunk.statistics for chunk in chunks if chunk.statistics is not None]
        if len(found) < len(chunks) or "list" in keys:
            continue
        _put(nulls, keys, sum(one.null_count for one in found))
        bounds = [one for one in found if one.has_min_max]
        values = [value for one in bounds for value in (one.min, one.max)]
        if values and all(_plain(value) for value in values):
            _put(low, keys, min(one.min for one in bounds))
            _put(high, keys, max(one.max for one in bounds))
    stats = {"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}
    size = filesystem.size(f"{root}/{path}")
    action = AddAction(path, size, {}, int(time.time() * 1000), True, json.dumps(stats))
    return Added(action, metadata.num_rows, metadata.schema.to_arrow_schema().remove_metadata())


def _plain(value: Any) -> bool:
    """Whether a bound can stand in the log as it is."""
    return isinstance(value, (int, str)) or (isinstance(value, float) and math.isfinite(value))


def _put(tree: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value
