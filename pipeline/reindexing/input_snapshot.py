"""Which files of the input, in which versions, a table of results was made from, and how the input differs now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.results.row_source import FileVersion
from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.formats.guarded_parquet import guarded_table
from pipeline.tables.input_file import InputFile

STORED = pa.schema([("file", pa.string()), ("version", pa.string()), ("rows", pa.int64()), ("columns", pa.binary())])


class SnapshotFile(NamedTuple):
    """A file of the input.

    Attributes:
        version: See `FileVersion`.
        rows: How many rows of it were read.
        columns: Its columns as results carry them; more if other files were read with it.
    """

    version: str
    rows: int
    columns: pa.Schema


@dataclass(frozen=True)
class InputSnapshot:
    """The files of an input at one time, by name."""

    files: Mapping[str, SnapshotFile]

    @property
    def rows(self) -> int:
        """Return the rows of all files."""
        return sum(file.rows for file in self.files.values())

    @property
    def versions(self) -> frozenset[FileVersion]:
        """Return the version of each file."""
        return frozenset(FileVersion(name, file.version) for name, file in self.files.items())

    def only(self, names: Iterable[str]) -> InputSnapshot:
        """Return the snapshot of these files alone."""
        return InputSnapshot({name: self.files[name] for name in names})

    def write(self, filesystem: AbstractFileSystem, path: str) -> None:
        """Write the snapshot to a Parquet file."""
        rows = [(name, *file[:2], file.columns.serialize().to_pybytes()) for name, file in self.files.items()]
        columns = list(zip(*rows, strict=True)) or [()] * len(STORED)
        write_parquet(filesystem, path, [pa.table([list(values) for values in columns], schema=STORED)], {})

    @classmethod
    def read(cls, filesystem: AbstractFileSystem, path: str) -> InputSnapshot:
        """Return the snapshot that `write` wrote."""
        table = guarded_table(path, arrow_filesystem(filesystem))
        schemas: dict[bytes, pa.Schema] = {}
        files = {}
        for name, version, rows, stored in zip(*(table[name].to_pylist() for name in STORED.names), strict=True):
            columns = schemas.setdefault(stored, pa.ipc.read_schema(pa.py_buffer(stored)))
            files[name] = SnapshotFile(version, rows, columns)
        return cls(files)

    @classmethod
    def empty(cls) -> InputSnapshot:
        """Return the snapshot of no file."""
        return cls({})


@dataclass(frozen=True)
class InputDiff:
    """How the input differs from a snapshot.

    Attributes:
        new: Files that are not in the snapshot.
        changed: Files that have another version in it.
        unchanged: The snapshot of the files that are as they were.
        outdated: Versions in the snapshot that the input no longer has.
    """

    new: tuple[InputFile, ...]
    changed: tuple[InputFile, ...]
    unchanged: InputSnapshot
    outdated: frozenset[FileVersion]

    @property
    def gone(self) -> frozenset[FileVersion]:
        """Return the versions of files that are no longer in the input under any version."""
        changed = {file.name for file in self.changed}
        return frozenset(version for version in self.outdated if version.name not in changed)

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.new or self.outdated)

    def __str__(self) -> str:
        """Return the counts of files."""
        return f"{len(self.new):,} new, {len(self.changed):,} changed, {len(self.gone):,} gone"


def diff(before: InputSnapshot, listed: Iterable[InputFile]) -> InputDiff:
    """Return how the files that are listed now differ from a snapshot."""
    now = {file.name: file for file in listed}
    same = [name for name, file in before.files.items() if name in now and now[name].version == file.version]
    unchanged = before.only(same)
    return InputDiff(
        new=tuple(file for name, file in now.items() if name not in before.files),
        changed=tuple(file for name, file in now.items() if name in before.files and name not in unchanged.files),
        unchanged=unchanged,
        outdated=before.versions - unchanged.versions,
    )
