"""Which files of the input, in which versions, a table of results was made from, and how the input differs now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.results.row_source import FileVersion
from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.storage.parquet.reading import guarded_batches
from pipeline.tables.file_columns import ListedFiles
from pipeline.tables.input_file import InputFile

ROWS_TOGETHER = 2**16  # files that are read at a time
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


class StoredFiles(Mapping[str, SnapshotFile]):
    """Files as a stored snapshot has them: of very many, objects are made only when they are asked for.

    Attributes:
        table: Columns of `STORED`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @cached_property
    def _objects(self) -> dict[str, SnapshotFile]:
        schemas: dict[bytes, pa.Schema] = {}
        files = {}
        columns = (self.table[name].to_pylist() for name in STORED.names)
        for name, version, rows, stored in zip(*columns, strict=True):
            schema = schemas.setdefault(stored, pa.ipc.read_schema(pa.py_buffer(stored)))
            files[name] = SnapshotFile(version, rows, schema)
        return files

    def __getitem__(self, name: str) -> SnapshotFile:
        return self._objects[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return int(self.table.num_rows)


@dataclass(frozen=True)
class InputSnapshot:
    """The files of an input at one time, by name."""

    files: Mapping[str, SnapshotFile]

    @property
    def rows(self) -> int:
        """Return the rows of all files."""
        if isinstance(self.files, StoredFiles):
            return int(pc.sum(self.files.table["rows"]).as_py() or 0)
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
        # Most files have the same columns, whose description is longer than all else.
        at, arrow = STORED.names.index("columns"), arrow_filesystem(filesystem)
        batches = [
            batch.set_column(at, "columns", batch.column("columns").dictionary_encode())
            for batch in guarded_batches(path, arrow, STORED.names, ROWS_TOGETHER)
        ]
        kind = pa.dictionary(pa.int32(), pa.binary())
        return cls(StoredFiles(pa.Table.from_batches(batches, STORED.set(at, pa.field("columns", kind)))))

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
    if isinstance(before.files, StoredFiles) and isinstance(listed, ListedFiles):
        return _diff_of_columns(before, before.files.table, listed)
    now = {file.name: file for file in listed}
    same = [name for name, file in before.files.items() if name in now and now[name].version == file.version]
    unchanged = before.only(same)
    return InputDiff(
        new=tuple(file for name, file in now.items() if name not in before.files),
        changed=tuple(file for name, file in now.items() if name in before.files and name not in unchanged.files),
        unchanged=unchanged,
        outdated=before.versions - unchanged.versions,
    )


def _diff_of_columns(before: InputSnapshot, stored: pa.Table, listed: ListedFiles) -> InputDiff:
    """Return what `diff` returns of very many files, with an object for each that differs."""
    name_of, version_of = (stored[name].combine_chunks().cast(pa.large_string()) for name in ("file", "version"))
    at = pc.index_in(listed.names, value_set=name_of)
    is_known = pc.is_valid(at)
    is_same = pc.fill_null(pc.equal(version_of.take(at.combine_chunks()), listed.versions.combine_chunks()), False)
    stays = np.zeros(len(stored), bool)
    stays[at.filter(is_same).to_numpy()] = True
    gone = stored.select(["file", "version"]).filter(pa.array(~stays))
    unchanged = before if stays.all() else InputSnapshot(StoredFiles(stored.filter(pa.array(stays))))
    return InputDiff(
        new=tuple(listed.having(listed.columns.filter(pc.invert(is_known)))),
        changed=tuple(listed.having(listed.columns.filter(pc.and_not(is_known, is_same)))),
        unchanged=unchanged,
        outdated=frozenset(FileVersion(row["file"], row["version"]) for row in gone.to_pylist()),
    )
