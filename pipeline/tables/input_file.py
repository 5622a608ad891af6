"""One file of a table, and which version of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.common.errors import ConfigError
from pipeline.common.row_ranges import RowSet

CHANGED_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "blob_id", "created")


@dataclass(frozen=True, slots=True)  # of a large table there are millions
class InputFile:
    """One file of a table.

    Attributes:
        path: Path on the filesystem.
        name: Path relative to the table's folder.
        size: Bytes.
        etag: The etag, or the time of the last change.
        deleted: The rows of the file that its table's log has deleted, see `RowSet.encode`; "" if there are none. They
            keep their row numbers and are never handed on.
    """

    path: str
    name: str
    size: int
    etag: str
    deleted: str = ""

    @property
    def version(self) -> str:
        """Return the file version: another string when the file has changed."""
        return f"{self.etag} {self.size}"

    @property
    def deleted_rows(self) -> RowSet:
        """Return the deleted rows, by their numbers in the file."""
        return RowSet.decode(self.deleted) if self.deleted else RowSet.none()


def listed_file(folder: str, path: str, info: Mapping[str, Any]) -> InputFile:
    """Return a file of a table.

    Args:
        folder: The table's folder.
        path: The file.
        info: What fsspec tells of it.

    Raises:
        ConfigError: Its name is not UTF-8, or leads out of the folder, as results in a file of its name would.
    """
    name = path.removeprefix(folder).lstrip("/")
    if not {".", ".."}.isdisjoint(name.split("/")):  # keys of an object store may be anything
        raise ConfigError(f"input.path: the file {path[:300]!r} has '.' or '..' in its name; rename it")
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise ConfigError(f"input.path: the name of the file '{shown}' is not UTF-8; rename it") from None
    return InputFile(path, name, info["size"], etag_of(info))


def check_distinct(names: Iterable[str]) -> None:
    """Check that no two files of a table differ in empty segments alone, as keys of an object store may.

    Args:
        names: The files, relative to the table's folder.

    Raises:
        ConfigError: Two do: results in files of their names would overwrite each other.
    """
    seen = set[str]()
    for name in names:
        plain = "/".join(part for part in name.split("/") if part)
        if plain in seen:
            raise ConfigError(
                f"input.path: two files of the table have the name {plain[:300]!r}, apart from slashes; rename one"
            )
        seen.add(plain)


def etag_of(info: Mapping[str, Any]) -> str:
    """Return the etag of a file, or the time of its last change, of what fsspec tells of it."""
    return str(next((info[key] for key in CHANGED_KEYS if info.get(key)), None)).strip('"')
