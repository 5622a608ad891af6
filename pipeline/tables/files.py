"""Which files a table is made of, and what format they have."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.job import Format, InputConfig

_GLOB = re.compile(r"[*?\[]")
EXTENSIONS: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz"),
    "jsonl": (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz"),
    "webdataset": (".tar",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file. name: relative to the table's folder. size: bytes. version: etag, or the time of the last change."""

    path: str
    name: str
    size: int
    version: str

    @property
    def edition(self) -> str:
        """Version and size: another one when the file has changed."""
        return f"{self.version} {self.size}"


def list_files(filesystem: AbstractFileSystem, path: str, spec: InputConfig) -> tuple[list[Found], str, Format]:
    """The files of one format at a file, folder or glob, sorted; the folder above all of them; their format.

    Hidden files (`_` or `.` in front) are left out. Raises ConfigError where there are none, or where the names tell
    of several formats.
    """
    if _GLOB.search(path):
        found = filesystem.glob(path, detail=True)
    elif filesystem.isfile(path):
        found = {path: filesystem.info(path)}
    elif filesystem.exists(path):
        found = filesystem.find(path, detail=True)
    else:
        raise ConfigError(f"input.path: {spec.path!r} does not exist")
    alone = list(found) == [path]
    folder = path.rpartition("/")[0] if alone else _above_glob(path)
    seen = sorted(file for file in found if alone or not _hidden(file.removeprefix(folder)))
    by_format = {name: [file for file in seen if file.lower().endswith(ends)] for name, ends in EXTENSIONS.items()}
    if spec.format is not None:
        files = by_format[spec.format] or seen  # names without an extension, as some writers give them
        if files:
            return [_file(file, folder, found[file]) for file in files], folder, spec.format
    present = [name for name, files in by_format.items() if files]
    if len(present) == 1:
        return [_file(file, folder, found[file]) for file in by_format[present[0]]], folder, present[0]
    if present:
        held = ", ".join(f"{len(by_format[name])} {name}" for name in present)
        raise ConfigError(f"input.path: {spec.path!r} holds files of several formats ({held}); choose in input.format")
    others = Counter(f".{file.rpartition('/')[2].partition('.')[2]}" for file in seen).most_common(3)
    held = ", ".join(f"{count} {end}" for end, count in others) or "no file at all"
    raise ConfigError(f"input.path: {spec.path!r} holds no .parquet, .csv, .jsonl or .tar files; it holds {held}")


def _file(path: str, folder: str, info: dict[str, Any]) -> Found:
    version = str(info.get("ETag") or info.get("LastModified") or info.get("mtime")).strip('"')
    return Found(path, path.removeprefix(folder).lstrip("/"), info["size"], version)


def _above_glob(path: str) -> str:
    """The folder that holds all that a path or glob can match."""
    fixed, *wild = _GLOB.split(path, maxsplit=1)
    return fixed.rpartition("/")[0] if wild else path.rstrip("/")


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative.split("/"))
