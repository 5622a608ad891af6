"""Check the Parquet files of a Delta log that deltalake decodes by itself: its pages may lie about their sizes.

Those are the checkpoint that it begins with, the sidecars of that checkpoint, and the files of a change data feed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.formats.guarded_parquet import check_pages, guarded_batches
from vilt.common.json_text import read_json

LOG, SIDECARS = "_delta_log", "_sidecars"
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-fA-F-]+)?\.(parquet|json)")


def check_checkpoint(filesystem: AbstractFileSystem, folder: str, key: str, version: int | None = None) -> None:
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
    for info in filesystem.ls(log, detail=True):
        found = _CHECKPOINT.fullmatch(info["name"].rpartition("/")[2])
        if found and (version is None or int(found[1]) <= version):
            by_version.setdefault(int(found[1]), []).append(found)
    for number in sorted(by_version, reverse=True):
        files = by_version[number]
        for file in files:
            _check(filesystem, log, file[0], key)
        if any(file[3] is None or sum(other[3] == file[3] for other in files) >= int(file[3]) for file in files):
            return  # it is whole; those before are not read


def _check(filesystem: AbstractFileSystem, log: str, name: str, key: str) -> None:
    """Check one file of a checkpoint, and the sidecars that it names."""
    path = f"{log}/{name}"
    if name.endswith(".json"):
        sidecars = [
            one["sidecar"] for one in _actions(filesystem.cat_file(path)) if isinstance(one.get("sidecar"), dict)
        ]
    else:
        arrow = arrow_filesystem(filesystem)
        check_pages(path, arrow, key)
        batches = guarded_batches(path, arrow, ["sidecar"], key=key, lenient=True)
        sidecars = [row["sidecar"] for batch in batches for row in batch.to_pylist() if row.get("sidecar")]
    for sidecar in sidecars:
        file = unquote(str(sidecar.get("path")))
        if posixpath.basename(file) != file:
            raise ConfigError(f"{key}: {path!r} names the sidecar {file[:300]!r}, which is not in {SIDECARS}: not read")
        check_pages(f"{log}/{SIDECARS}/{file}", arrow_filesystem(filesystem), key)


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
        commit = list(_actions(filesystem.cat_file(f"{folder}/{LOG}/{version:020}.json")))
        changes = [one["cdc"] for one in commit if isinstance(one.get("cdc"), dict)]
        whole = [one[kind] for one in commit for kind in ("add", "remove") if isinstance(one.get(kind), dict)]
        for file in changes or [one for one in whole if one.get("dataChange", True)]:
            path = unquote(str(file.get("path")))
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", path) or ".." in re.split(r"[/\\]", path):
                raise ConfigError(f"{key}: the log of {folder!r} names the file {path[:300]!r}, outside of its folder")
            check_pages(f"{folder}/{path}", arrow_filesystem(filesystem), key, columns)


def _actions(data: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the actions of a commit."""
    for line in data.splitlines():
        action = read_json(line) if line.strip() else None
        if isinstance(action, dict):
            yield action
