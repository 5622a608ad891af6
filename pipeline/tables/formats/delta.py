"""Delta tables as input: one version of the table, as its log says it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import without_panics
from pipeline.common.row_ranges import RowSet
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import STORAGE_ERRORS, full_uri, open_fsspec
from pipeline.storage.object_store import delta_options
from pipeline.tables.format import Listing
from pipeline.tables.formats.delta_log import check_checkpoint, check_deletions
from pipeline.tables.formats.logged_columns import FIELD_ID, Matching
from pipeline.tables.formats.logged_parquet import LoggedFile, LoggedFormat, LoggedListing, sorted_by_name, without_rows

if TYPE_CHECKING:  # deltalake is loaded when there is a Delta table
    from deltalake import DeltaTable

FEATURES = {  # of the protocol, that a reader must know: what changes which rows there are, or what their columns are
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
}
MATCHING = {
    "none": Matching(),
    "name": Matching(b"delta.columnMapping.physicalName"),
    "id": Matching(b"delta.columnMapping.id", FIELD_ID),
}


class DeltaFormat(LoggedFormat):
    """A Delta table.

    The files that the log of the latest version lists, or of `input.version` or `input.timestamp`; partitions, renamed
    columns and deletion vectors as the log says them. Files outside of the table's folder, as shallow clones have them,
    are refused.
    """

    name = "delta"
    title = "a Delta table"
    marker_folder = "_delta_log"
    marker = re.compile(r"(?:^|/)_delta_log/.")

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the files of one version."""
        uri = full_uri(filesystem, folder)
        with without_panics(f"input.path: the Delta table {uri!r}"):
            return self._listing(filesystem, folder, uri, spec, storage)

    def _listing(
        self, filesystem: AbstractFileSystem, folder: str, uri: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        from deltalake.exceptions import DeltaError

        try:
            check_checkpoint(filesystem, folder, "input.path")
            table = _open(uri, spec, storage)
            _check_features(table, uri)
            if "deletionVectors" in (table.protocol().reader_features or ()):
                begin = check_checkpoint(filesystem, folder, "input.path", table.version())
                check_deletions(filesystem, folder, begin, table.version(), "input.path")
            deleted, columns = _deleted_rows(table, folder), pa.schema(table.schema().to_arrow())
            actions = pa.table(table.get_add_actions(flatten=False))
        except ConfigError:
            raise
        except (*STORAGE_ERRORS, DeltaError, ValueError) as error:
            raise ConfigError(f"input.path: cannot read the Delta table {uri!r}: {first_line(error)}") from None
        version = f"version {table.version()}"
        wanted = [
            name for name in ("path", "size_bytes", "modification_time", "partition") if name in actions.schema.names
        ]
        files = [_file(folder, row, deleted, uri) for row in actions.select(wanted).to_pylist()]
        if deleted:
            raise ConfigError(
                f"input.path: a deletion vector of {uri!r} is for {next(iter(deleted))!r}, no file of {version}"
            )
        if not files:
            raise ConfigError(f"input.path: {version} of the Delta table {uri!r} has no file, and so no rows")
        files = sorted_by_name(files)
        mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
        return LoggedListing(
            filesystem, files, folder, self, [file.path for file in files], version, columns, MATCHING[mode]
        )


def _open(uri: str, spec: InputConfig, storage: StorageConfig) -> DeltaTable:
    """Open the version that a config names."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    uri = uri.replace("s3a://", "s3://")
    table = DeltaTable(uri, storage_options=delta_options(uri, storage))
    latest, number = table.version(), spec.version
    if spec.as_of is not None:
        number = _version_at(table, spec.as_of)
    if number is None or number == latest:
        return table
    if not isinstance(number, int) or not 0 <= number < latest:
        raise ConfigError(f"input.version: {number!r}, but the Delta table {uri!r} has versions from 0 to {latest}")
    try:
        check_checkpoint(*open_fsspec(uri, "input.path", storage), "input.path", number)
        table.load_as_version(number)
    except ConfigError:
        raise
    except (*STORAGE_ERRORS, DeltaError, ValueError) as error:
        raise ConfigError(
            f"input.version: version {number} of the Delta table {uri!r} cannot be read, its latest is {latest}: was "
            f"its log cleaned up? {first_line(error)}"
        ) from None
    return table


def _version_at(table: DeltaTable, time: datetime) -> int:
    """Return the last version that was committed at a time or before.

    The times are those that the commits say; those of the log's files change when a table is copied.
    """
    times = []
    for entry in table.history():
        said = entry.get("inCommitTimestamp", entry.get("timestamp"))
        if said is None:
            raise ConfigError(
                f"input.timestamp: version {entry['version']} of {table.table_uri!r} does not say when it was "
                "committed; name a version in input.version"
            )
        times.append((int(said), int(entry["version"])))
    before = [version for said, version in times if said <= time.timestamp() * 1000]
    if not before:
        first = datetime.fromtimestamp(min(times)[0] / 1000, timezone.utc).isoformat()
        raise ConfigError(
            f"input.timestamp: {time.isoformat()} is before the first version of {table.table_uri!r} that its log "
            f"has, of {first}"
        )
    return max(before)


def _check_features(table: DeltaTable, uri: str) -> None:
    unknown = set(table.protocol().reader_features or ()) - FEATURES
    if unknown:
        raise ConfigError(
            f"input.path: the Delta table {uri!r} needs readers that know {', '.join(sorted(unknown))}, which is not "
            "read yet; export the rows to a folder of Parquet files and name that folder"
        )


def _deleted_rows(table: DeltaTable, folder: str) -> dict[str, RowSet]:
    """Return the rows that deletion vectors mark, by the name of their file below the table's folder."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    vectors = pa.table(table.deletion_vectors())
    out = {}
    for file, keep in zip(vectors["filepath"].to_pylist(), vectors["selection_vector"], strict=True):
        name = unquote(file).partition(f"{folder.strip('/')}/")[2]
        out[name] = RowSet.of(np.flatnonzero(~keep.values.to_numpy(zero_copy_only=False)))
    return out


def _file(folder: str, action: dict[str, Any], deleted: dict[str, RowSet], uri: str) -> LoggedFile:
    """Return a file of the log.

    Raises:
        ConfigError: It is not in the table's folder.
    """
    name = unquote(action["path"])
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", name) or ".." in re.split(r"[/\\]", name):
        raise ConfigError(
            f"input.path: the log of the Delta table {uri!r} names the file {name!r}, outside of the table's folder: "
            "shallow clones are not read; make a deep clone, or name the table that was cloned"
        )
    constants = tuple((action.get("partition") or {}).items())
    etag = str(action["modification_time"])
    file = LoggedFile(f"{folder}/{name}", name, action["size_bytes"], etag, constants=constants)
    return without_rows(file, deleted.pop(name, RowSet.none()))
