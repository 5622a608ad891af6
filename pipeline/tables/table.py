"""The input table, opened: its files, its schema, exact counts; see `pipeline.tables.reading` for its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_HASH, ROW_KEY, ROW_SOURCE, STATS, TEXTS, UNREAD
from pipeline.common.errors import ConfigError
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.config.input import InputConfig
from pipeline.config.job import JobConfig
from pipeline.config.shard import resolve_shard
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri, open_fsspec, storage_errors
from pipeline.tables import registry
from pipeline.tables.column_checks import Columns, check_columns
from pipeline.tables.datasource import ReadPlan, UnreadSplit
from pipeline.tables.division import TablePart, divide_row_groups, divides_files, files_of, part_of_files
from pipeline.tables.file_columns import ListedFiles, OpenedFiles, json_hash, listing_hash
from pipeline.tables.filter_expression import Filter
from pipeline.tables.fixed_text import with_fixed_text
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.input_file import InputFile
from pipeline.tables.listing.files import list_files
from pipeline.tables.listing.hub import pinned
from pipeline.tables.manifest import Manifest
from pipeline.tables.opened_table import OpenedFile, TableReader


@dataclass(frozen=True)
class TableFiles:
    """The files of a table.

    Attributes:
        files: The files and their splits; of a shard all files of the table, and the shard's splits alone.
        filesystem: Where they are.
        base: URI of the table's folder, to which relative image URIs are relative.
        format: Their format.
        reader: Reads their splits.
        schema: The columns of all files together.
        filter: The rows to read; None: all.
        unreadable: Columns that are not in `schema` -> why they cannot be read.
        metadata: Keys and values of the files' footers, see `OpenedTable`.
        version: The version of the table, in words; "" if its format has none.
        part: Which part of the table is read; None: all.
        members: What follows the keys in the names of the members of tars.
        footers: See `OpenedTable`.
    """

    files: Sequence[OpenedFile]
    filesystem: AbstractFileSystem
    base: str
    format: TableFormat
    reader: TableReader
    schema: pa.Schema
    filter: Filter | None
    unreadable: Mapping[str, str]
    metadata: Mapping[str, str]
    version: str
    part: TablePart | None = field(default=None, kw_only=True)
    members: frozenset[str] = field(default=frozenset(), kw_only=True)
    footers: Sequence[bytes | None] = field(default=(), kw_only=True)

    @property
    def rows(self) -> int:
        """Return how many rows there are to read, exactly: known before the run, so that none can be lost unseen."""
        return self.files.rows if isinstance(self.files, OpenedFiles) else sum(file.rows for file in self.files)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of every file's name, size and etag; with a log that says them, of the columns too."""
        if isinstance(self.files, OpenedFiles) and not self.version:
            return listing_hash(self.files.files)
        files = self.files.files if isinstance(self.files, OpenedFiles) else [one.file for one in self.files]
        if not self.version:
            return listing_hash(files)
        said = ((file.name, file.size, file.etag) for file in files)
        return json_hash(chain(said, ((field.name, str(field.type)) for field in self.schema)))

    @property
    def read_files(self) -> list[InputFile]:
        """Return the files that are read: all, or those of a shard."""
        return [one.file for one in self.files if self.part is None or one.splits]

    def unread(self, done: RowSet) -> Sequence[UnreadSplit]:
        """Return what is left to read when the rows in `done` are finished."""
        if isinstance(self.files, OpenedFiles):
            return self.files.unread(done)
        out = []
        for number, opened in enumerate(self.files):
            for split in opened.splits:
                begin = row_key(number, split.first_row)
                skipped = done.between(begin, begin + split.all_rows)
                if len(skipped) < split.rows:
                    out.append(UnreadSplit(number, opened.file, split, skipped))
        return out

    def check_readable(self, columns: Sequence[str] | None = None) -> None:
        """Check that columns can be read; None: all. Raises ConfigError."""
        for name, reason in self.unreadable.items():
            if columns is None or name in columns:
                hint = "; to run without it, list the columns to carry in input.columns" if columns is None else ""
                raise ConfigError(f"input.path: column {name!r} cannot be read: {reason}{hint}")

    def plan(self, names: Sequence[str], window_rows: int) -> ReadPlan:
        """Return what to read for some columns, about `window_rows` rows at a time."""
        needed = list(dict.fromkeys([*names, *(self.filter.columns() if self.filter else ())]))
        columns = pa.schema([self.schema.field(name) for name in needed])
        return ReadPlan(self.reader, columns, list(names), self.filter.pyarrow() if self.filter else None, window_rows)


@dataclass(frozen=True)
class InputTable(TableFiles):
    """A table whose columns were checked."""

    columns: Columns


def open_files(
    spec: InputConfig, storage: StorageConfig, columns: Sequence[str] | None = None, manifest: Manifest | None = None
) -> TableFiles:
    """Find the files of a table and read what they say about themselves.

    Args:
        spec: The table.
        storage: How to reach it.
        columns: The columns that will be read; None: all.
        manifest: What keeps what the files of a very large table say.

    Raises:
        ConfigError: There are none, or they are damaged, or do not fit together.
    """
    table = open_listed(list_table(spec, storage), replace(_options(spec), manifest=manifest))
    table.check_readable(columns)
    return table


def _options(spec: InputConfig) -> OpenOptions:
    names = None if spec.column_names is None else tuple(spec.column_names)
    return OpenOptions(spec.id, filter=spec.filter, column_names=names, quotes=spec.quotes)


def list_table(spec: InputConfig, storage: StorageConfig) -> Listing:
    """Find the files of a table.

    Raises:
        ConfigError: There are none, or they cannot be listed.
    """
    try:
        listing = next((found for known in registry.FORMATS if (found := known.list_named(spec, storage))), None)
        if listing is None:
            uri, version = pinned(spec)
            filesystem, path = open_fsspec(uri, "input.path", storage)
            filesystem.invalidate_cache()
            listing = list_files(filesystem, path, spec, storage)
            listing = replace(listing, version=version) if version else listing
    except storage_errors() as error:
        raise ConfigError(f"input.path: cannot read {spec.path!r}: {error}") from None
    for key in ("version", "timestamp"):
        if getattr(spec, key) is not None and not listing.version:
            raise ConfigError(
                f"input.{key}: {getattr(spec, key)!r}, but {spec.path!r} is {listing.format.name}, which keeps no "
                "versions: leave the key out"
            )
    for key in ("column_names", "quotes"):
        if getattr(spec, key) is not None and key not in listing.format.layout_keys:
            raise ConfigError(
                f"input.{key}: is for CSV and TSV files; {spec.path!r} is {listing.format.name}: leave the key out"
            )
    return listing


def open_listed(listing: Listing, options: OpenOptions) -> TableFiles:
    """Read what files say about themselves.

    Raises:
        ConfigError: They are damaged, or do not fit together.
    """
    opened = listing.format.open(listing, options)
    if options.fixed_text is not None:
        opened = with_fixed_text(opened, options.fixed_text)
    base = full_uri(listing.filesystem, listing.folder)
    return TableFiles(
        opened.files,
        listing.filesystem,
        base,
        listing.format,
        opened.reader,
        opened.schema,
        opened.filter,
        opened.unreadable,
        opened.metadata,
        listing.version,
        members=opened.members,
        footers=opened.footers,
    )


def open_shard(listing: Listing, options: OpenOptions, text: str) -> TableFiles:
    """Open a shard of a table: by files, and then no other is opened, or by row groups.

    Args:
        listing: All files of the table.
        options: What the config says about opening.
        text: The value of `input.shard`.

    Raises:
        ConfigError: The files are damaged, or do not fit together, or no shard is named.
    """
    shard, _ = resolve_shard(text, os.environ)
    if not divides_files(listing, shard.count):
        table = open_listed(listing, options)
        files, part = divide_row_groups(table.files, shard)
        return replace(table, files=files, part=part)
    mine = files_of(listing.files, shard)
    some = [listing.files[number] for number in mine]
    table = open_listed(replace(listing, files=some or listing.files[:1]), options)
    opened = dict(zip(mine, table.files, strict=True)) if mine else {}
    part = part_of_files(listing.files, mine, shard)
    if isinstance(listing.files, ListedFiles):
        return replace(table, files=OpenedFiles.of(listing.files, opened), part=part)
    files = [opened.get(number, OpenedFile(file, [])) for number, file in enumerate(listing.files)]
    return replace(table, files=files, part=part)


def open_table(config: JobConfig, listing: Listing | None = None) -> InputTable:
    """Open the input table of a job and check the columns that its config names.

    Args:
        config: The job.
        listing: The files, if they are listed already.

    Raises:
        ConfigError: A file or a column is wrong.
    """
    spec = config.input
    limits = config.limits
    options = replace(
        _options(spec),
        text_columns=tuple(config.text_columns),
        image_bytes=limits.image_bytes,
        row_bytes=limits.row_bytes,
        json_depth=limits.json_depth,
        fixed_text=spec.fixed_text,
        manifest=Manifest(config.output.path, config.storage, config.ray.address),
    )
    listing = listing or list_table(spec, config.storage)
    table = open_listed(listing, options) if spec.shard is None else open_shard(listing, options, spec.shard)
    named = [*config.image_columns, *config.region_columns, *config.text_columns, *([spec.id] if spec.id else [])]
    table.check_readable(None if spec.columns is None else [*named, *spec.columns])
    try:
        columns, schema = check_columns(table.schema, config), table.schema
    except ConfigError as error:
        raise ConfigError(f"{error}{table.format.hint}") from None
    for name in (ROW_HASH, ROW_KEY, TEXTS, STATS, ROW_SOURCE, UNREAD):
        if name in (schema.names if spec.columns is None else spec.columns):
            raise ConfigError(
                f"input.columns: the table has a column {name!r}, a name that the job needs for itself; "
                "list the columns to carry without it"
            )
    return InputTable(**{one.name: getattr(table, one.name) for one in fields(table)}, columns=columns)
