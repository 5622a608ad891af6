"""Formats whose rows stand one after the other: CSV, JSON lines, tars.

Such files do not tell how many rows they hold, and their types are only known when all of them were seen. So each is
read twice: scanned before anything starts, with the same parser as later, so that the count is exact and a damaged
file is named before any work is done.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import STORAGE_ERRORS, in_threads
from pipeline.tables.format import InputFile, Listing, OpenedFile, OpenedTable, OpenOptions, Split, TableFormat
from pipeline.tables.schemas import unify

BLOCK_BYTES = 16 * 2**20  # of rows that are parsed at a time
SCAN_BYTES = 2**20  # read at a time while scanning: a tar's headers and small members, but not its large images
OpenFile = Callable[[], IO[bytes]]


class RowFormat(TableFormat):
    """A format whose files are read from front to end.

    Attributes:
        same_columns: Whether a file that lacks columns of others is an error.
    """

    same_columns = False

    @abstractmethod
    def scan(self, file: OpenFile, options: OpenOptions) -> tuple[pa.Schema, int]:
        """Return the schema of one file and how many rows it has.

        Raises:
            ValueError: The file is damaged; the message need not name it. Errors of pyarrow mean the same.
        """

    @abstractmethod
    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Yield all rows of one file, in order, with at least these columns, null if the file lacks them."""

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Scan all files."""
        if options.filter is not None:
            raise ConfigError(f"input.filter: is for Parquet tables; {listing.folder!r} is {self.name}")
        files, filesystem = listing.files, listing.filesystem
        scanned = list(in_threads(lambda file: self._scan(file.path, filesystem, options), files))
        schemas = [schema for schema, _ in scanned]
        for file, schema in zip(files, schemas, strict=True):
            if self.same_columns and set(schema.names) != set(schemas[0].names):
                raise ConfigError(
                    f"input.path: {file.path!r} has the columns {', '.join(schema.names)}, "
                    f"but {files[0].path!r} has {', '.join(schemas[0].names)}"
                )
        opened = [
            OpenedFile(file, [Split(0, rows, rows, file.size)]) for file, (_, rows) in zip(files, scanned, strict=True)
        ]
        schema = unify([file.path for file in files], schemas)
        return OpenedTable(opened, schema, RowReader(filesystem, self, options))

    def _scan(self, path: str, filesystem: AbstractFileSystem, options: OpenOptions) -> tuple[pa.Schema, int]:
        def file() -> IO[bytes]:
            opened: IO[bytes] = filesystem.open(path, "rb", block_size=SCAN_BYTES, compression="infer")
            return opened

        try:
            return self.scan(file, options)
        except (ValueError, pa.ArrowException, EOFError, zlib.error) as error:  # the last two: of gzip
            raise ConfigError(f"input.path: {path!r} is damaged or no such table: {first_line(error)}") from None
        except STORAGE_ERRORS as error:
            raise ConfigError(f"input.path: cannot read {path!r}: {first_line(error)}") from None


@dataclass(frozen=True)
class RowReader:
    """Reads whole files of rows; how many rows it holds at a time the format decides."""

    filesystem: AbstractFileSystem
    format: RowFormat
    options: OpenOptions

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield all rows of a file. See `pipeline.tables.format.TableReader`."""
        del split, rows
        with self.filesystem.open(file.path, "rb", compression="infer") as opened:
            for table in self.format.parse(opened, columns, self.options):
                yield table.select(columns.names)
