"""Parquet files that a table's log lists.

The columns, the values of partitions and the rows that were deleted are what the log says; the names of folders say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.errors import ConfigError
from pipeline.storage.filesystem import arrow_filesystem, in_threads
from pipeline.tables.file_columns import MANY_FILES, OpenedFiles
from pipeline.tables.filter_expression import parse_filter
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.formats.logged.columns import Matching, as_named, stored_columns
from pipeline.tables.formats.logged.files import LoggedFile, LoggedFiles
from pipeline.tables.formats.parquet.footers import common_int96_unit, read_footers, schema_with_unit
from pipeline.tables.formats.parquet.format import ParquetReader, count_passing, joined, splits_of
from pipeline.tables.formats.parquet.many_footers import count_passing_in_tasks, kept_footers
from pipeline.tables.formats.parquet.partitions import Partitions
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split
from pipeline.tables.schemas import as_text, conform, plain


@dataclass(frozen=True)
class LoggedListing(Listing):
    """The files of one version of a table.

    Attributes:
        schema: The table's columns.
        matching: How they are found in the files.
        files_first: Whether a column that a file holds counts before the log's value for it.
    """

    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    matching: Matching = field(default_factory=Matching)
    files_first: bool = False


@dataclass(frozen=True)
class LoggedReader(ParquetReader):
    """Reads row groups of the files of a log."""

    matching: Matching
    fields: pa.Schema  # the columns of the table, with the metadata that matching needs

    def constants(self, file: InputFile) -> Mapping[str, Any]:
        """Return the columns whose values the log says."""
        return dict(_logged(file).constants)

    def has_statistics(self, file: InputFile) -> bool:
        """Return whether all columns are in the file, by the same names."""
        same = {name for name, stored in _logged(file).stored if name == stored}
        return set(self.fields.names) <= same | set(self.constants(file))

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield a row group in tables of at most `rows` rows. See `pipeline.tables.opened_table.TableReader`."""
        constants, stored = self.constants(file), dict(_logged(file).stored)
        names = [name for name in columns.names if name in stored and name not in constants]
        for table in joined(self.batches(file, split, [stored[name] for name in names], rows), rows):
            out = table.select([stored[name] for name in names])
            for index, name in enumerate(names):
                target = self.fields.field(name).with_type(columns.field(name).type)
                out = out.set_column(index, name, as_named(out.column(index), target, self.matching, file.name))
            yield conform(out, columns, constants, file.name)


class LoggedFormat(TableFormat):
    """A format whose log lists Parquet files."""

    divisible = True

    def copy_name(self, file: InputFile) -> str:
        """Return a name without the folders of the file, which are no columns of the table that is written."""
        name = file.name.replace("/", "_")
        return name if name.endswith(".parquet") else f"{name}.parquet"

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Read the footers of the files; there is a split for each row group."""
        assert isinstance(listing, LoggedListing)
        return open_many(listing, options) if isinstance(listing.files, LoggedFiles) else open_logged(listing, options)


def open_logged(listing: LoggedListing, options: OpenOptions) -> OpenedTable:
    """Open the files of a log.

    Raises:
        ConfigError: A file is missing, damaged, or not what the log says.
    """
    filesystem = arrow_filesystem(listing.filesystem)
    files = [_logged(file) for file in listing.files]
    try:
        footers = read_footers(files, filesystem, ())
        timed = [file.path for file, footer in zip(files, footers, strict=True) if footer.int96]
        unit = common_int96_unit(timed, filesystem)
    except ConfigError as error:
        raise ConfigError(f"{error}; the log of {listing.version} lists it") from None
    fields = pa.schema([_as_read(one, options.text_columns) for one in listing.schema])
    seen: dict[int, tuple[tuple[str, str], ...]] = {}
    unreadable: dict[str, str] = {}
    opened = []
    for file, footer in zip(files, footers, strict=True):
        if id(footer.schema) not in seen:
            found, faults = stored_columns(fields, schema_with_unit(footer, unit), listing.matching, file.name)
            for name, reason in (*footer.unreadable.items(), *faults.items()):
                if name in fields.names:
                    unreadable.setdefault(name, reason)
            seen[id(footer.schema)] = tuple(found.items())
        opened.append(file.opened(seen[id(footer.schema)], listing.files_first))
    schema = pa.schema([one.remove_metadata() for one in fields if one.name not in unreadable])
    condition = None if options.filter is None else parse_filter(options.filter, schema)
    reader = LoggedReader(filesystem, Partitions(pa.schema([])), unit, listing.matching, fields)

    def splits(number: int) -> OpenedFile:
        file = opened[number]
        found = splits_of(footers[number].groups)
        if condition is not None:
            found = count_passing(file, found, reader, schema, condition)
        elif file.deleted:
            found = [_live(file, split) for split in found]
        return OpenedFile(file, found)

    return OpenedTable(list(in_threads(splits, range(len(files)))), schema, reader, condition, unreadable)


def open_many(listing: LoggedListing, options: OpenOptions) -> OpenedTable:
    """Open very many files of a log: as `open_logged` does, but what files say is kept as columns.

    Raises:
        ConfigError: See `open_logged`.
    """
    files, filesystem = listing.files, arrow_filesystem(listing.filesystem)
    assert isinstance(files, LoggedFiles)
    try:
        footers = kept_footers(files, filesystem, options.manifest)
        heads = [head.footer() for head in footers.heads]
        timed = [number for number, head in enumerate(heads) if head.int96]
        unit = common_int96_unit([files[int(n)].path for n in np.flatnonzero(np.isin(footers.head, timed))], filesystem)
    except ConfigError as error:
        raise ConfigError(f"{error}; the log of {listing.version} lists it") from None
    fields = pa.schema([_as_read(one, options.text_columns) for one in listing.schema])
    unreadable: dict[str, str] = {}
    stored = []
    for head, footer in zip(footers.heads, heads, strict=True):
        found, faults = stored_columns(fields, schema_with_unit(footer, unit), listing.matching, head.file)
        for name, reason in (*footer.unreadable.items(), *faults.items()):
            if name in fields.names:
                unreadable.setdefault(name, reason)
        stored.append(tuple(found.items()))
    schema = pa.schema([one.remove_metadata() for one in fields if one.name not in unreadable])
    condition = None if options.filter is None else parse_filter(options.filter, schema)
    reader = LoggedReader(filesystem, Partitions(pa.schema([])), unit, listing.matching, fields)
    opened = footers.opened(files.opened(footers.head, stored, listing.files_first))
    if condition is not None:
        count = partial(count_passing, reader=reader, schema=schema, condition=condition)
        with options.manifest.session() if options.manifest else nullcontext():
            opened = count_passing_in_tasks(opened, count)
    else:
        opened = _without_deleted(opened)
    return OpenedTable(opened, schema, reader, condition, unreadable)


def _without_deleted(opened: OpenedFiles) -> OpenedFiles:
    """Return files whose splits count the rows that were not deleted."""
    files = opened.files
    assert isinstance(files, LoggedFiles)
    rows = opened.splits["rows"].copy()
    for number in np.flatnonzero(pc.not_equal(files.columns["deleted"], "").to_numpy()).tolist():
        begin = int(opened.offsets[number])
        for at, split in enumerate(opened[number].splits, begin):
            rows[at] = _live(opened[number].file, split).rows
    return OpenedFiles(files, opened.offsets, {**opened.splits, "rows": rows})


def in_order(folder: str, files: Sequence[LoggedFile]) -> Sequence[InputFile]:
    """Return the files of a log in the order in which they are numbered; very many as columns."""
    if len(files) >= MANY_FILES:
        return LoggedFiles.of_objects(folder, files)
    return sorted(files, key=lambda file: file.name)


def _live(file: InputFile, split: Split) -> Split:
    """Return a split with the number of its rows that were not deleted."""
    deleted = file.deleted_rows.between(split.first_row, split.first_row + split.all_rows)
    return replace(split, rows=split.all_rows - len(deleted))


def _as_read(column: pa.Field, texts: Sequence[str]) -> pa.Field:
    kind = plain(column.type)
    return pa.field(column.name, as_text(kind) if column.name in texts else kind, True, column.metadata)


def _logged(file: InputFile) -> LoggedFile:
    assert isinstance(file, LoggedFile)
    return file
