"""Parquet tables: footers read and compared before anything starts, then row groups read one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import STORAGE_ERRORS, arrow_filesystem, in_threads
from pipeline.tables.filter_expression import Filter
from pipeline.tables.format import (
    InputFile,
    Listing,
    OpenedFile,
    OpenedTable,
    OpenOptions,
    Split,
    StoredRows,
    TableFormat,
)
from pipeline.tables.partitions import Partitions, find_partitions
from pipeline.tables.schemas import as_text, conform, plain, require_column, unify

COPY_BYTES = 2**24  # of a row group, held at a time while it is copied
COPY_ROWS = 2**20
BATCH_BYTES = 2**28  # of a row group, held at a time while it is read


class RowGroup(NamedTuple):
    """A row group: its number in the file, its rows, its bytes."""

    number: int
    rows: int
    size: int


class ParquetFormat(TableFormat):
    """Parquet."""

    name = "parquet"
    extensions = (".parquet",)

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Read all footers; there is a split for each row group.

        The columns that folders name (`year=2026`) come last. Of a footer the sizes of its row groups stay in memory,
        and its schema, if no file before it has the same.
        """
        files, filesystem = listing.files, arrow_filesystem(listing.filesystem)
        schemas: dict[pa.Schema, pa.Schema] = {}
        footers: list[tuple[pa.Schema, list[RowGroup]]] = []
        for schema, groups in in_threads(lambda file: _footer(file, filesystem, options), files):
            footers.append((schemas.setdefault(schema, schema), groups))
        schema = unify([file.path for file in files], [found for found, _ in footers])
        partitions = find_partitions([path.removeprefix(listing.folder).lstrip("/") for path in listing.paths])
        for name in partitions.columns.names:
            if name in schema.names:
                raise ConfigError(f"input.path: column {name!r} is in the files and in the names of their folders")
        schema = pa.schema([*schema, *partitions.columns])
        condition = None if options.filter is None else _parse_filter(options.filter, schema)
        reader = ParquetReader(filesystem, partitions)

        def opened(number: int) -> OpenedFile:
            splits = _splits(footers[number][1])
            if condition is not None:
                splits = [_count(files[number], split, reader, schema, condition) for split in splits]
            return OpenedFile(files[number], splits)

        return OpenedTable(list(in_threads(opened, range(len(files)))), schema, reader, condition)

    def stored_rows(self, file: InputFile, filesystem: AbstractFileSystem) -> AbstractContextManager[StoredRows]:
        """Open a file to copy its row groups with its own schema, metadata and compression."""
        return _stored_rows(file, arrow_filesystem(filesystem))


@dataclass(frozen=True)
class ParquetReader:
    """Reads row groups in batches."""

    filesystem: pa.fs.FileSystem
    partitions: Partitions

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield a row group in tables of at most `rows` rows. See `pipeline.tables.format.TableReader`."""
        constants = self.partitions.values(file.name)
        names = [name for name in columns.names if name not in constants]
        for table in self._batches(file, split, names, rows):
            yield conform(table, columns, constants, file.name)

    def _batches(self, file: InputFile, split: Split, names: list[str], rows: int) -> Iterator[pa.Table]:
        """Yield a row group; in smaller tables when pyarrow cannot hold so many bytes of a nested column at once."""
        given = 0
        with pq.ParquetFile(file.path, filesystem=self.filesystem, pre_buffer=True) as opened:
            stored = set(opened.schema_arrow.names)
            names = [name for name in names if name in stored]
            size = _size(opened.metadata.row_group(split.row_group), set(names))
            rows = max(1, min(rows, BATCH_BYTES * split.all_rows // max(1, size)))
            while given < split.all_rows:
                seen = 0
                try:
                    for batch in opened.iter_batches(rows, [split.row_group], names):
                        seen += batch.num_rows
                        if seen > given:
                            fresh = batch.slice(max(0, batch.num_rows - (seen - given)))
                            given = seen
                            yield pa.Table.from_batches([fresh])
                    return
                except pa.ArrowNotImplementedError:
                    if rows == 1:
                        raise
                    rows = max(1, rows // 8)


def _size(group: pq.RowGroupMetaData, names: set[str]) -> int:
    """Return the uncompressed bytes of some columns of a row group, their fields included."""
    size = 0
    for column in map(group.column, range(group.num_columns)):
        parts = column.path_in_schema.split(".")
        if any(".".join(parts[:i]) in names for i in range(1, len(parts) + 1)):
            size += column.total_uncompressed_size
    return size


def _footer(file: InputFile, filesystem: pa.fs.FileSystem, options: OpenOptions) -> tuple[pa.Schema, list[RowGroup]]:
    """Return what the footer of a file says: its schema, of the types as which it is read, and its row groups."""
    try:
        fragment = ds.ParquetFileFormat().make_fragment(file.path, filesystem)
        fragment.ensure_complete_metadata()
        groups = [RowGroup(group.id, group.num_rows, group.total_byte_size) for group in fragment.row_groups]
        schema = fragment.physical_schema.remove_metadata()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"input.path: {file.path!r} is not Parquet, or is cut off: {first_line(error)}") from None
    except STORAGE_ERRORS as error:
        raise ConfigError(f"input.path: cannot read {file.path!r}: {first_line(error)}") from None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise ConfigError(f"input.path: {file.path!r} has two columns named {twice[0]!r}; columns have a name each")
    fields = [field.with_type(plain(field.type)) for field in schema]
    texts = options.text_columns
    return pa.schema([f.with_type(as_text(f.type)) if f.name in texts else f for f in fields]), groups


def _splits(groups: Iterable[RowGroup]) -> list[Split]:
    splits, first = [], 0
    for group in groups:
        splits.append(Split(first, group.rows, group.rows, group.size, group.number))
        first += group.rows
    return splits


def _parse_filter(text: str, schema: pa.Schema) -> Filter:
    try:
        condition = Filter(text)
    except ValueError as error:
        raise ConfigError(f"input.filter: {error}") from None
    for name in condition.columns():
        require_column(schema, "input.filter", name)
    return condition


def _count(file: InputFile, split: Split, reader: ParquetReader, schema: pa.Schema, condition: Filter) -> Split:
    """Return a split with the number of rows that the filter lets through; only its columns are read."""
    columns = pa.schema([schema.field(name) for name in condition.columns()])
    passes = condition.pyarrow()
    try:
        rows = sum(table.filter(passes).num_rows for table in reader.read(file, split, columns, COPY_ROWS))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ConfigError(f"input.filter: {condition.text!r} does not fit the columns: {first_line(error)}") from None
    return Split(split.first_row, rows, split.all_rows, split.size, split.row_group)


@contextmanager
def _stored_rows(file: InputFile, filesystem: pa.fs.FileSystem) -> Iterator[StoredRows]:
    with pq.ParquetFile(file.path, filesystem=filesystem) as opened:
        yield StoredRows(opened.schema_arrow, _compression(opened.metadata), _ranges(opened))


def _ranges(opened: pq.ParquetFile) -> Iterator[tuple[int, int, Callable[[], Iterable[pa.Table]]]]:
    """Yield a range for each row group."""
    first = 0
    for number in range(opened.num_row_groups):
        group = opened.metadata.row_group(number)
        wide = max(1, group.total_byte_size // max(1, group.num_rows))
        rows = min(max(1, COPY_BYTES // wide), COPY_ROWS)
        yield first, group.num_rows, partial(_read_group, opened, number, rows)
        first += group.num_rows


def _read_group(opened: pq.ParquetFile, number: int, rows: int) -> Iterator[pa.Table]:
    for batch in opened.iter_batches(rows, row_groups=[number]):
        yield pa.Table.from_batches([batch])


def _compression(metadata: pq.FileMetaData) -> str | dict[str, str]:
    """Return the compression of a file's columns: one for all if it is the same."""
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    found = {column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE") for column in columns}
    return next(iter(found.values())) if len(set(found.values())) == 1 else found
