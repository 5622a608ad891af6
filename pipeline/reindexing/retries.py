"""Rows without a result that may have one another time, and how often each was tried again.

The list lies in a file beside the table, so that a run that finds nothing to do need not read the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.results.row_source import FileVersion
from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.storage.parquet.reading import guarded_table

STORED = pa.schema([("file", pa.string()), ("version", pa.string()), ("row", pa.int64()), ("tries", pa.int32())])


class InputRow(NamedTuple):
    """A row of the input: the file it is in, and its number there."""

    file: FileVersion
    row: int


@dataclass(frozen=True)
class FailedRows:
    """Rows whose error may pass -> how often they were read again."""

    tries: Mapping[InputRow, int]

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.tries)

    def __iter__(self) -> Iterator[InputRow]:
        """Return an iterator over the rows."""
        return iter(self.tries)

    @property
    def files(self) -> frozenset[FileVersion]:
        """Return the files that the rows are in."""
        return frozenset(row.file for row in self.tries)

    def within(self, files: Collection[FileVersion], most: int | None = None) -> FailedRows:
        """Return the rows that are in these files, and were read again less than `most` times (None: any number)."""
        return FailedRows({row: n for row, n in self.tries.items() if row.file in files and (most is None or n < most)})

    def with_rows(self, rows: Iterable[InputRow]) -> FailedRows:
        """Return these rows and some more, which have never been tried again."""
        return FailedRows({**dict.fromkeys(rows, 0), **self.tries})

    def updated(self, tried: Collection[InputRow], failed: Iterable[InputRow]) -> FailedRows:
        """Return the rows after a run.

        Args:
            tried: Rows that it read, those that were not in here included.
            failed: Those of them whose error may pass.
        """
        left = {row: n for row, n in self.tries.items() if row not in tried}
        return FailedRows({**left, **{row: self.tries.get(row, -1) + 1 for row in failed}})

    def write(self, filesystem: AbstractFileSystem, path: str) -> None:
        """Write the rows to a Parquet file."""
        rows = [(*row.file, row.row, n) for row, n in self.tries.items()]
        columns = list(zip(*rows, strict=True)) or [()] * len(STORED)
        write_parquet(filesystem, path, [pa.table([list(values) for values in columns], schema=STORED)], {})

    @classmethod
    def read(cls, filesystem: AbstractFileSystem, path: str) -> FailedRows:
        """Return the rows that `write` wrote."""
        table = guarded_table(path, arrow_filesystem(filesystem))
        rows = zip(*(table[name].to_pylist() for name in STORED.names), strict=True)
        return cls({InputRow(FileVersion(file, version), row): tries for file, version, row, tries in rows})

    @classmethod
    def none(cls) -> FailedRows:
        """Return no row."""
        return cls({})
