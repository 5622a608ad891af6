"""`OUT/_input.json`: which files of the input, in which versions, results were made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import write_whole
from pipeline.tables.input_file import InputFile
from vilt.common.counts import counted
from vilt.common.json_text import read_json

INPUT_FILES = "_input.json"
MOST_NAMES = 3  # in a message


@dataclass(frozen=True)
class InputFiles:
    """The files of a table.

    Attributes:
        fingerprint: See `pipeline.tables.table.TableFiles`; "" if unknown.
        versions: The name of a file -> its version and size.
        version: The version of the table, in words; "" if its format has none.
    """

    fingerprint: str
    versions: Mapping[str, str]
    version: str = ""

    @classmethod
    def of(cls, fingerprint: str, files: Iterable[InputFile], version: str = "") -> InputFiles:
        """Return the files of a table as they are now."""
        return cls(fingerprint, {file.name: file.version for file in files}, version)

    def write(self, filesystem: AbstractFileSystem, folder: str) -> None:
        """Write them beside results."""
        values: dict[str, Any] = {"fingerprint": self.fingerprint, "files": dict(self.versions)}
        content = json.dumps({**values, **({"version": self.version} if self.version else {})}, indent=0)
        write_whole(filesystem, f"{folder}/{INPUT_FILES}", content.encode())

    @classmethod
    def read(cls, filesystem: AbstractFileSystem, folder: str) -> InputFiles | None:
        """Read them from beside results; None if they are not there."""
        try:
            values = read_json(filesystem.cat_file(f"{folder}/{INPUT_FILES}"))
        except FileNotFoundError:
            return None
        return cls(values["fingerprint"], values["files"], values.get("version", ""))

    def changes(self, now: InputFiles) -> str:
        """Return in words which files differ from those `now`; "" if none does."""
        changed = [name for name, version in self.versions.items() if now.versions.get(name, version) != version]
        gone = [name for name in self.versions if name not in now.versions]
        new = [name for name in now.versions if name not in self.versions]
        kinds = (("changed", changed), ("gone", gone), ("new", new))
        found = ", ".join(f"{kind}: {_listed(names)}" for kind, names in kinds if names)
        if found and self.version and self.version != now.version:
            return f"{found} (it was {self.version}; input.version={self.version.rpartition(' ')[2]} reads that)"
        return found


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {counted(len(names) - MOST_NAMES, 'more file')}"
