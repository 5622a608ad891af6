"""Read the log of a Delta table: which files and rows one version has, and what their columns are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import without_panics
from pipeline.common.row_ranges import RowSet
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import open_fsspec, storage_errors
from pipeline.storage.object_store import delta_options
from pipeline.tables.file_columns import MANY_FILES
from pipeline.tables.formats.delta.checks import check_checkpoint, check_deletions
from pipeline.tables.formats.logged.apart import run_apart
from pipeline.tables.formats.logged.files import SAID, TEXT, Constants, LoggedFile, LoggedFiles
from vilt.common.json_text import read_json

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
OUTSIDE = r"^[A-Za-z][A-Za-z0-9+.-]*:|^/|(?:^|[/\\])\.\.(?:[/\\]|$)"  # of names that may not be followed
MOST_SAID = 2**16  # bytes of the file that tells of the last checkpoint
LARGE = 100_000  # actions of a checkpoint, from which on a process of its own reads the log, whose memory ends with it


@dataclass(frozen=True)
class DeltaLog:
    """One version of a table.

    Attributes:
        version: The version, in words.
        files: Its files, one at least.
        columns: Its columns.
        mode: How columns are found in files: "none", "name" or "id".
    """

    version: str
    files: list[LoggedFile] | LoggedFiles
    columns: pa.Schema
    mode: str


def read_log(uri: str, folder: str, spec: InputConfig, storage: StorageConfig) -> DeltaLog:
    """Read the log of the version that a config names.

    Args:
        uri: The table.
        folder: Its folder, as a path.
        spec: The section `input`.
        storage: How to reach it.

    Raises:
        ConfigError: There is no such version, or it cannot be read, or it has no file.
    """
    with without_panics(f"input.path: the Delta table {uri!r}"):
        return _read_log(uri, folder, spec, storage)


def _read_log(uri: str, folder: str, spec: InputConfig, storage: StorageConfig) -> DeltaLog:
    from deltalake.exceptions import DeltaError

    try:
        filesystem, _ = open_fsspec(uri, "input.path", storage)
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
    except (*storage_errors(), DeltaError, ValueError) as error:
        raise ConfigError(f"input.path: cannot read the Delta table {uri!r}: {first_line(error)}") from None
    version = f"version {table.version()}"
    wanted = [name for name in ("path", "size_bytes", "modification_time", "partition") if name in actions.schema.names]
    files = _files(folder, actions.select(wanted), deleted, uri)
    if deleted:
        raise ConfigError(
            f"input.path: a deletion vector of {uri!r} is for {next(iter(deleted))!r}, no file of {version}"
        )
    if not len(files):
        raise ConfigError(f"input.path: {version} of the Delta table {uri!r} has no file, and so no rows")
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    return DeltaLog(version, files, columns, mode)


def is_large(filesystem: AbstractFileSystem, folder: str) -> bool:
    """Return whether the log of a table takes hundreds of megabytes to read, by what its last checkpoint says."""
    try:
        said = read_json(filesystem.cat_file(f"{folder}/_delta_log/_last_checkpoint", start=0, end=MOST_SAID))
        return int(said["size"]) >= LARGE
    except (*storage_errors(), ValueError, KeyError, TypeError):  # there is none
        return False


def read_log_apart(uri: str, folder: str, spec: InputConfig, storage: StorageConfig) -> DeltaLog:
    """Read a log as `read_log` does, in a process that ends: this one keeps the columns of files alone."""
    return run_apart(read_log, uri, folder, spec, storage, subject=f"the Delta table {uri!r}")


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
    except (*storage_errors(), DeltaError, ValueError) as error:
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


def _files(folder: str, actions: pa.Table, deleted: dict[str, RowSet], uri: str) -> list[LoggedFile] | LoggedFiles:
    """Return the files of the log in the order of their names; very many as columns.

    Args:
        folder: The table's folder.
        actions: path, size_bytes, modification_time, and perhaps a struct `partition`.
        deleted: Name of a file -> its deleted rows; what is found is taken out.
        uri: The table, for messages.

    Raises:
        ConfigError: A file is not in the table's folder.
    """
    if len(actions) < MANY_FILES:
        return sorted((_file(folder, row, deleted, uri) for row in actions.to_pylist()), key=lambda file: file.name)
    names = actions["path"].combine_chunks().cast(TEXT)
    if pc.any(pc.match_substring(names, "%")).as_py():
        names = pa.array(map(unquote, names.to_pylist()), TEXT)
    outside = names.filter(pc.match_substring_regex(names, OUTSIDE))
    if len(outside):
        raise _is_outside(outside[0].as_py(), uri)
    times = actions["modification_time"]
    times = times.cast(pa.int64()).cast(TEXT) if pa.types.is_integer(times.type) else pa.array(map(str, times), TEXT)
    said = {
        "path": pc.binary_join_element_wise(pa.scalar(folder, TEXT), names, pa.scalar("/", TEXT)),
        "name": names,
        "size": actions["size_bytes"],
        "etag": times,
        "deleted": pa.array([""] * len(names), TEXT),
    }
    assert list(said) == list(SAID)
    files = LoggedFiles.of_columns(folder, said, *_constants(actions))
    return files.without_rows(deleted) if deleted else files


def _constants(actions: pa.Table) -> tuple[np.ndarray, list[Constants]]:
    """Return int32 (n,), which constants each action has, and the distinct constants."""
    codes = np.zeros(len(actions), np.int64)
    if "partition" not in actions.schema.names:
        return codes.astype(np.int32), [()]
    partition = actions["partition"].combine_chunks()
    for column in partition.flatten():
        encoded = column.dictionary_encode()
        own = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
        _, codes = np.unique(codes * (len(encoded.dictionary) + 1) + own, return_inverse=True)
    _, first, constant = np.unique(codes, return_index=True, return_inverse=True)
    found = [tuple((partition[index].as_py() or {}).items()) for index in first.tolist()]
    return constant.astype(np.int32), found


def _is_outside(name: str, uri: str) -> ConfigError:
    return ConfigError(
        f"input.path: the log of the Delta table {uri!r} names the file {name!r}, outside of the table's folder: "
        "shallow clones are not read; make a deep clone, or name the table that was cloned"
    )


def _file(folder: str, action: dict[str, Any], deleted: dict[str, RowSet], uri: str) -> LoggedFile:
    """Return a file of the log.

    Raises:
        ConfigError: It is not in the table's folder.
    """
    name = unquote(action["path"])
    if re.search(OUTSIDE, name):
        raise _is_outside(name, uri)
    constants = tuple((action.get("partition") or {}).items())
    etag = str(action["modification_time"])
    file = LoggedFile(f"{folder}/{name}", name, action["size_bytes"], etag, constants=constants)
    return file.without_rows(deleted.pop(name, RowSet.none()))
