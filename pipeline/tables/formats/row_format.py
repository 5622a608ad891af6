"""Formats whose rows stand one after the other: CSV, JSON lines, tars.

Such files do not tell how many rows they hold, and their types are only known when all of them were seen. So each is
read twice: scanned before anything starts, with the same parser as later, so that the count is exact and a damaged
file is named before any work is done.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.columns import UNREAD
from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import PARSER_ERRORS, parser_fault
from pipeline.storage.filesystem import in_threads, storage_errors
from pipeline.tables.filter_expression import NOT_FILTERED, Filter, parse_filter
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.formats.filter_counts import rows_passing
from pipeline.tables.formats.json_types import JsonColumns
from pipeline.tables.formats.lookalikes import HEAD_BYTES, lookalike
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split
from pipeline.tables.schemas import select_read
from pipeline.tables.vanished_files import retry_missing

BLOCK_BYTES = 16 * 2**20  # of rows that are parsed at a time
SCAN_BYTES = 2**20  # read at a time while scanning: a tar's headers and small members, but not its large images
UNREAD_TYPE = pa.struct([("reason", pa.string()), ("detail", pa.string())])
OpenFile = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Scan:
    """What one file holds.

    Attributes:
        schema: Its columns.
        rows: How many rows it has.
        json: Which values the columns of JSON hold.
        members: What follows the keys in the names of a tar's members.
    """

    schema: pa.Schema
    rows: int
    json: JsonColumns | None = None
    members: frozenset[str] = frozenset()


class RowFormat(TableFormat):
    """A format whose files are read from front to end.

    Attributes:
        filtered: Whether the values of columns have types by which rows can be taken.
    """

    filtered = False

    @abstractmethod
    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Read one file to its end.

        Raises:
            ValueError: The file is damaged; the message need not name it. Errors of pyarrow mean the same.
        """

    @abstractmethod
    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Yield all rows of one file, in order, with at least these columns, null if the file lacks them.

        Rows that are not read have a reason in the column `__unread`, see `unread_row`; other tables lack it.
        """

    @abstractmethod
    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Return the columns of all files, and those that cannot be read, with the reason. Raises ConfigError."""

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Scan all files."""
        if options.filter is not None and not self.filtered:
            raise ConfigError(f"input.filter: {NOT_FILTERED}; {listing.folder!r} is {self.name}")
        files, filesystem = listing.files, listing.filesystem
        scans = list(in_threads(lambda file: self._scan(file.path, filesystem, options), files))
        schema, unreadable = self.unify([file.path for file in files], scans)
        if not (len(schema) or unreadable):
            raise ConfigError(f"input.path: {listing.folder!r} holds no rows of {self.name}")
        opened = [
            OpenedFile(file, [Split(0, scan.rows, scan.rows, file.size)])
            for file, scan in zip(files, scans, strict=True)
        ]
        members = frozenset[str]().union(*(scan.members for scan in scans))
        reader = RowReader(filesystem, self, options)
        condition = None if options.filter is None else parse_filter(options.filter, schema)
        if condition is not None:
            opened = list(in_threads(partial(_passing, reader, schema, condition), opened))
        return OpenedTable(opened, schema, reader, condition, unreadable, members=members)

    def _scan(self, path: str, filesystem: AbstractFileSystem, options: OpenOptions) -> Scan:
        def file() -> IO[bytes]:
            opened: IO[bytes] = filesystem.open(path, "rb", block_size=SCAN_BYTES, compression="infer")
            return opened

        try:
            return retry_missing(lambda: self.scan(file, options), path)
        except PARSER_ERRORS as error:
            fault = self._lookalike(path, filesystem) or parser_fault(error)
            raise ConfigError(f"input.path: {path!r} is damaged or no such table: {fault}") from None
        except storage_errors() as error:
            raise ConfigError(f"input.path: cannot read {path!r}: {first_line(error)}") from None

    def _lookalike(self, path: str, filesystem: AbstractFileSystem) -> str | None:
        """Return what a file is that is not of this format, None if its first bytes say nothing."""
        try:
            with filesystem.open(path, "rb", compression="infer") as opened:
                what = lookalike(opened.read(HEAD_BYTES), self.name)
        except (*PARSER_ERRORS, *storage_errors()):
            return None
        return f"it is {what}" if what else None


def _passing(reader: RowReader, schema: pa.Schema, condition: Filter, opened: OpenedFile) -> OpenedFile:
    """Return a file with the number of rows that the filter lets through; the file is read a second time."""
    try:
        splits = [
            replace(split, rows=rows_passing(opened.file, split, reader, schema, condition)) for split in opened.splits
        ]
    except storage_errors() as error:
        raise ConfigError(f"input.path: cannot read {opened.file.path!r}: {first_line(error)}") from None
    return OpenedFile(opened.file, splits)


@dataclass(frozen=True)
class RowReader:
    """Reads whole files of rows; how many rows it holds at a time the format decides."""

    filesystem: AbstractFileSystem
    format: RowFormat
    options: OpenOptions

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield all rows of a file. See `pipeline.tables.opened_table.TableReader`."""
        if not columns.names:  # the scan has counted the rows
            for begin in range(0, split.all_rows, rows):
                yield pa.table({UNREAD: pa.nulls(min(rows, split.all_rows - begin))}).select([])
            return
        with self.filesystem.open(file.path, "rb", compression="infer") as opened:
            for table in self.format.parse(opened, columns, self.options):
                yield select_read(table, columns.names)


def unread_row(columns: pa.Schema, failure: Failure) -> pa.Table:
    """Return a row of nulls, with the reason why it is not read in the column `__unread`."""
    nulls = {column.name: pa.nulls(1, column.type) for column in columns}
    return pa.table({**nulls, UNREAD: pa.array([failure._asdict()], UNREAD_TYPE)})
