"""Parquet tables: footers read and compared before anything starts, then row groups read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import arrow_filesystem, in_threads, storage_errors
from pipeline.storage.parquet.batch_rows import batch_bytes, rows_within, stored_bytes
from pipeline.storage.parquet.guarded_file import open_guarded
from pipeline.tables.file_columns import ListedFiles, ListedPaths
from pipeline.tables.filter_expression import Filter, parse_filter
from pipeline.tables.format import Listing, OpenOptions, StoredRows, TableFormat
from pipeline.tables.formats.filter_counts import rows_passing
from pipeline.tables.formats.parquet.footers import (
    RowGroup,
    columns_outside,
    common_int96_unit,
    fields_that_can_fail,
    read_footers,
    schema_with_unit,
    shared_metadata,
)
from pipeline.tables.formats.parquet.many_footers import count_passing_in_tasks, kept_footers
from pipeline.tables.formats.parquet.partitions import Partitions, find_partitions
from pipeline.tables.formats.parquet.stored_rows import stored_parquet
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split
from pipeline.tables.schemas import conform, unify_readable

BATCH_BYTES = 2**28  # of a row group, held at a time while it is read
STREAM_BYTES = 2**23  # of each column of a larger row group, fetched at a time


class ParquetFormat(TableFormat):
    """Parquet."""

    name = "parquet"
    extensions = (".parquet",)
    divisible = True

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Read all footers; there is a split for each row group.

        The columns that folders name (`year=2026`) come last. Of a footer the sizes of its row groups stay in memory,
        and its schema, if no file before it has the same.
        """
        if isinstance(listing.files, ListedFiles):
            return open_many(listing, options)
        files, filesystem = listing.files, arrow_filesystem(listing.filesystem)
        footers = read_footers(files, filesystem, options.text_columns, options.footer_key)
        timed = [file.path for file, footer in zip(files, footers, strict=True) if footer.int96]
        unit = common_int96_unit(timed, filesystem)
        schemas = [schema_with_unit(footer, unit) for footer in footers]
        schema, unreadable = unify_readable([file.path for file in files], schemas)
        for footer in footers:
            unreadable |= footer.unreadable
        unreadable |= columns_outside([file.path for file in files], filesystem, schemas, schema)
        schema = pa.schema([field for field in schema if field.name not in unreadable])
        partitions = _partitions(listing, schema, unreadable)
        schema = pa.schema([*schema, *partitions.columns])
        condition = None if options.filter is None else parse_filter(options.filter, schema)
        reader = ParquetReader(filesystem, partitions, unit)

        def opened(number: int) -> OpenedFile:
            splits = splits_of(footers[number].groups)
            if condition is not None:
                splits = count_passing(files[number], splits, reader, schema, condition)
            return OpenedFile(files[number], splits)

        splits = list(in_threads(opened, range(len(files))))
        kept = [footer.kept for footer in footers] if options.footer_key else []
        metadata = shared_metadata(footers)
        return OpenedTable(splits, schema, reader, condition, unreadable, metadata, footers=kept)

    def stored_rows(self, file: InputFile, filesystem: AbstractFileSystem) -> AbstractContextManager[StoredRows]:
        """Open a file to copy its row groups with its own schema, metadata and compression."""
        return stored_parquet(file.path, arrow_filesystem(filesystem))


def open_many(listing: Listing, options: OpenOptions) -> OpenedTable:
    """Open a table of very many files: as `ParquetFormat.open` does, but what files say is kept as columns.

    Raises:
        ConfigError: See `pipeline.tables.format.TableFormat.open`.
    """
    files, filesystem = listing.files, arrow_filesystem(listing.filesystem)
    assert isinstance(files, ListedFiles)
    footers = kept_footers(files, filesystem, options.manifest)
    heads = [head.footer(options.text_columns) for head in footers.heads]
    paths = [head.file for head in footers.heads]
    timed = [number for number, head in enumerate(heads) if head.int96]
    unit = common_int96_unit([files[int(n)].path for n in np.flatnonzero(np.isin(footers.head, timed))], filesystem)
    schemas = [schema_with_unit(footer, unit) for footer in heads]
    schema, unreadable = unify_readable(paths, schemas)
    for footer in heads:
        unreadable |= footer.unreadable
    suspects = [number for number, found in enumerate(schemas) if fields_that_can_fail(found, schema)]
    odd = np.flatnonzero(np.isin(footers.head, suspects)).tolist()
    stored = [schemas[head] for head in footers.head[odd]]
    unreadable |= columns_outside([files[number].path for number in odd], filesystem, stored, schema)
    schema = pa.schema([field for field in schema if field.name not in unreadable])
    partitions = _partitions(listing, schema, unreadable)
    schema = pa.schema([*schema, *partitions.columns])
    reader = ParquetReader(filesystem, partitions, unit)
    condition = None if options.filter is None else parse_filter(options.filter, schema)
    opened = footers.opened(files)
    if condition is not None:
        count = partial(count_passing, reader=reader, schema=schema, condition=condition)
        with options.manifest.session() if options.manifest else nullcontext():
            opened = count_passing_in_tasks(opened, count)
    return OpenedTable(opened, schema, reader, condition, unreadable, shared_metadata(heads))


def _partitions(listing: Listing, schema: pa.Schema, unreadable: Mapping[str, str]) -> Partitions:
    """Return the columns that folders name; raise ConfigError if a file has one of them, too."""
    paths = listing.paths.folders() if isinstance(listing.paths, ListedPaths) else listing.paths
    partitions = find_partitions([path.removeprefix(listing.folder).lstrip("/") for path in paths])
    for name in partitions.columns.names:
        if name in schema.names or name in unreadable:
            raise ConfigError(f"input.path: column {name!r} is in the files and in the names of their folders")
    return partitions


@dataclass(frozen=True)
class ParquetReader:
    """Reads row groups in batches."""

    filesystem: pa.fs.FileSystem
    partitions: Partitions
    int96_unit: str

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield a row group in tables of at most `rows` rows. See `pipeline.tables.opened_table.TableReader`."""
        constants = self.constants(file)
        names = [name for name in columns.names if name not in constants]
        for table in joined(self.batches(file, split, names, rows), rows):
            yield conform(table, columns, constants, file.name)

    def constants(self, file: InputFile) -> Mapping[str, Any]:
        """Return the value of each column that is the same in all rows of a file."""
        return self.partitions.values(file.name)

    def has_statistics(self, file: InputFile) -> bool:
        """Return whether the statistics in the footer of a file are those of the table's columns of the same names."""
        del file
        return True

    def batches(self, file: InputFile, split: Split, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Yield a row group in batches of at most `rows` rows and about `BATCH_BYTES`.

        They are smaller when pyarrow cannot hold so many bytes of a nested column at once.
        """
        given, large = 0, split.size > BATCH_BYTES
        with open_guarded(
            file.path,
            self.filesystem,
            buffer_size=STREAM_BYTES if large else 0,
            coerce_int96_timestamp_unit=self.int96_unit,
        ) as (opened, guard):
            stored = set(opened.schema_arrow.names)
            names = [name for name in names if name in stored]
            group = opened.metadata.row_group(split.row_group)
            whole = not large and stored_bytes(group, names) <= 2 * BATCH_BYTES
            pages = guard.watch(opened.metadata, split.row_group, set(names), whole)
            rows = guard.rows = rows_within(group, set(names), pages, BATCH_BYTES, rows)
            while given < split.all_rows:
                seen = 0
                try:
                    for batch in opened.iter_batches(rows, [split.row_group], names):
                        seen += batch.num_rows
                        if seen > given:
                            fresh = batch.slice(max(0, batch.num_rows - (seen - given)))
                            given = seen
                            yield fresh
                    return
                except pa.ArrowNotImplementedError:
                    if rows == 1:
                        raise
                    rows = max(1, rows // 8)


def joined(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield batches as tables of at most `rows` rows; small ones together, if they are not more than `BATCH_BYTES`."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        size_of = batch_bytes(batch)
        if held and (count + batch.num_rows > rows or size + size_of > BATCH_BYTES):
            yield pa.Table.from_batches(held)
            held, count, size = [], 0, 0
        held, count, size = [*held, batch], count + batch.num_rows, size + size_of
    if held:
        yield pa.Table.from_batches(held)


def splits_of(groups: Iterable[RowGroup]) -> list[Split]:
    """Return a split for each row group."""
    splits, first = [], 0
    for group in groups:
        splits.append(Split(first, group.rows, group.rows, group.size, group.number))
        first += group.rows
    return splits


def count_passing(
    file: InputFile, splits: list[Split], reader: ParquetReader, schema: pa.Schema, condition: Filter
) -> list[Split]:
    """Return the splits with the numbers of rows that the filter lets through."""
    folder = ds.scalar(True)
    for name, value in reader.constants(file).items():
        folder &= ds.field(name).is_null() if value is None else ds.field(name) == value
    fragment = ds.ParquetFileFormat().make_fragment(file.path, reader.filesystem, folder)
    try:  # by the statistics in the footer
        passing = fragment.subset(condition.pyarrow(), schema=schema) if reader.has_statistics(file) else fragment
        groups = {group.id for group in passing.row_groups}
    except pa.ArrowException:  # statistics of a type that does not compare: they tell nothing
        groups = {split.row_group for split in splits}
    except storage_errors() as error:
        raise ConfigError(f"input.path: cannot read {file.path!r}: {first_line(error)}") from None
    return [
        replace(split, rows=rows_passing(file, split, reader, schema, condition) if split.row_group in groups else 0)
        for split in splits
    ]
