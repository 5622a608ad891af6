"""Check what deltalake decodes by itself of a Delta table that a stranger wrote, before it does.

Those are the checkpoint of the log, whose pages may lie about their sizes, its sidecars, the deletion vectors, and the
files of a change data feed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.storage.filesystem import arrow_filesystem, in_threads
from pipeline.storage.parquet.reading import check_pages, guarded_batches
from pipeline.tables.formats.delta.deletion_vectors import check_vectors
from vilt.common.json_text import read_json

if TYPE_CHECKING:  # deltalake is loaded when there is a Delta table
    from deltalake import DeltaTable

LOG, SIDECARS = "_delta_log", "_sidecars"
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-fA-F-]+)?\.(parquet|json)")
_COMMIT = re.compile(r"(\d{20})(?:\.\d{20}\.compacted)?\.json")


class Checkpoint(NamedTuple):
    """What a version of a table begins with.

    Attributes:
        version: The version of the last whole checkpoint; -1 if there is none.
        files: Its files, those of incomplete ones after it, and their sidecars.
    """

    version: int
    files: list[str]


def check_checkpoint(filesystem: AbstractFileSystem, folder: str, key: str, version: int | None = None) -> Checkpoint:
    """Check the checkpoint that a version of a table is read from.

    Args:
        filesystem: Where the table is.
        folder: Its folder.
        key: What names it, for messages.
        version: The version; None: the latest.

    Raises:
        ConfigError: A page is not to be decoded, or a sidecar lies elsewhere.
    """
    log = f"{folder.rstrip('/')}/{LOG}"
    by_version: dict[int, list[re.Match[str]]] = {}
    for name in _names(filesystem, log):
        found = _CHECKPOINT.fullmatch(name)
        if found and (version is None or int(found[1]) <= version):
            by_version.setdefault(int(found[1]), []).append(found)
    checked: list[str] = []
    for number in sorted(by_version, reverse=True):
        files = by_version[number]
        for file in files:
            checked += _check(filesystem, log, file[0], key)
        if any(file[3] is None or sum(other[3] == file[3] for other in files) >= int(file[3]) for file in files):
            return Checkpoint(number, checked)  # those before are not read
    return Checkpoint(-1, checked)


def _check(filesystem: AbstractFileSystem, log: str, name: str, key: str) -> list[str]:
    """Check one file of a checkpoint, and the sidecars that it names; return all of them."""
    path, arrow = f"{log}/{name}", arrow_filesystem(filesystem)
    if name.endswith(".json"):
        sidecars = [one.get("sidecar") for one in _actions(filesystem, path)]
    else:
        check_pages(path, arrow, key)
        batches = guarded_batches(path, arrow, ["sidecar"], key=key, lenient=True)
        sidecars = [row.get("sidecar") for batch in batches if batch.num_columns for row in batch.to_pylist()]
    files = [path]
    for sidecar in filter(None, sidecars):
        file = unquote(str(sidecar.get("path")))
        if posixpath.basename(file) != file:
            raise ConfigError(f"{key}: {path!r} names the sidecar {file[:300]!r}, which is not in {SIDECARS}: not read")
        files.append(f"{log}/{SIDECARS}/{file}")
        check_pages(files[-1], arrow, key)
    return files


def check_deletions(
    filesystem: AbstractFileSystem, folder: str, checkpoint: Checkpoint, version: int, key: str
) -> None:
    """Check the deletion vectors that a version of a table may have; see `check_vectors`.

    Args:
        filesystem: Where the table is.
        folder: Its folder.
        checkpoint: What `check_checkpoint` returned.
        version: The version.
        key: What names it, for messages.
    """
    log = f"{folder.rstrip('/')}/{LOG}"
    commits = [match for match in map(_COMMIT.fullmatch, _names(filesystem, log)) if match]
    later = [f"{log}/{match[0]}" for match in commits if checkpoint.version < int(match[1]) <= version]

    def adds(path: str) -> list[Mapping[str, Any]]:
        if path.endswith(".json"):
            return [one["add"] for one in _actions(filesystem, path) if _has_vector(one.get("add"))]
        found: list[Mapping[str, Any]] = []
        for batch in guarded_batches(path, arrow_filesystem(filesystem), ["add"], key=key, lenient=True):
            if batch.num_columns and any(field.name == "deletionVector" for field in batch.schema.field(0).type):
                some = batch.filter(pc.is_valid(pc.struct_field(batch.column(0), "deletionVector")))
                found += [row["add"] for row in some.to_pylist()]
        return found

    check_vectors(
        filesystem, folder, (one for some in in_threads(adds, [*checkpoint.files, *later]) for one in some), key
    )


def check_plain(table: DeltaTable, filesystem: AbstractFileSystem, folder: str, key: str) -> None:
    """Check that the files of a table say all of its rows and columns, as those that this project writes do.

    Raises:
        ConfigError: Another program has deleted rows, or renamed columns, in the log alone.
    """
    again = f"write its files anew, in Spark by REORG TABLE delta.`{folder}` APPLY (PURGE), and run this again"
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        raise ConfigError(f"{key}: the log of {folder!r} renames columns of its files, which results are not read with")
    if "deletionVectors" in (table.protocol().reader_features or ()):
        checkpoint = check_checkpoint(filesystem, folder, key, table.version())
        check_deletions(filesystem, folder, checkpoint, table.version(), key)
        if pa.table(table.deletion_vectors()).num_rows:
            raise ConfigError(f"{key}: rows of {folder!r} are deleted in its log alone, by deletion vectors: {again}")


def check_changes(
    filesystem: AbstractFileSystem, folder: str, since: int, until: int, columns: list[str], key: str
) -> None:
    """Check the files that the change data feed between two versions is read from.

    Args:
        filesystem: Where the table is.
        folder: Its folder.
        since: The version before.
        until: The last version.
        columns: The columns to read.
        key: What names the table, for messages.

    Raises:
        ConfigError: A page is not to be decoded, or the log names a file outside of the folder.
        OSError: A file or commit is not there.
    """
    folder = folder.rstrip("/")
    for version in range(since + 1, until + 1):
        commit = list(_actions(filesystem, f"{folder}/{LOG}/{version:020}.json"))
        changes = [one["cdc"] for one in commit if isinstance(one.get("cdc"), dict)]
        whole = [one[kind] for one in commit for kind in ("add", "remove") if isinstance(one.get(kind), dict)]
        for file in changes or [one for one in whole if one.get("dataChange", True)]:
            path = unquote(str(file.get("path")))
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", path) or ".." in re.split(r"[/\\]", path):
                raise ConfigError(f"{key}: the log of {folder!r} names the file {path[:300]!r}, outside of its folder")
            check_pages(f"{folder}/{path}", arrow_filesystem(filesystem), key, columns)


def _has_vector(add: Any) -> bool:
    return isinstance(add, dict) and isinstance(add.get("deletionVector"), dict)


def _names(filesystem: AbstractFileSystem, log: str) -> list[str]:
    return [info["name"].rpartition("/")[2] for info in filesystem.ls(log, detail=True)]


def _actions(filesystem: AbstractFileSystem, path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the actions of a commit."""
    for line in filesystem.cat_file(path).splitlines():
        action = read_json(line) if line.strip() else None
        if isinstance(action, dict):
            yield action
