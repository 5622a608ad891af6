"""An input that had files and has none any more, for a table of results that follows it to the end."""

from __future__ import annotations

import pyarrow as pa

from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig
from pipeline.reindexing.plan import TableState
from pipeline.storage.filesystem import full_uri, open_fsspec
from pipeline.tables.column_checks import check_columns
from pipeline.tables.format import Listing
from pipeline.tables.formats.parquet.format import ParquetReader
from pipeline.tables.formats.parquet.partitions import Partitions
from pipeline.tables.registry import format_named
from pipeline.tables.table import InputTable

HINT = "; if all input was deleted and the table of results is to follow, set output.allow_empty=true"


def no_files(config: JobConfig) -> Listing:
    """Return the listing of an input without files."""
    filesystem, path = open_fsspec(config.input.path, "input.path", config.storage)
    return Listing(filesystem, [], path.rstrip("/"), format_named("parquet"), [])


def check_followed(config: JobConfig, state: TableState) -> None:
    """Check that a table was made from the input that is empty now: a path that is misspelt is empty too.

    Raises:
        ConfigError: It was made from another, or there is none.
    """
    before = None if state.latest is None else state.latest.input.get("path")
    if before != config.input.stored()["path"]:
        raise ConfigError(
            f"input.path: {config.input.path!r} holds no files, and the table at {config.output.path!r} was made from "
            f"{before!r}: output.allow_empty follows the deletion of the same input alone; correct the path"
        )


def empty_table(config: JobConfig, listing: Listing, state: TableState) -> InputTable:
    """Return the input as a table without rows, with the columns that its files had."""
    known = {field.name: field for file in state.snapshot.files.values() for field in file.columns}
    for name in config.image_columns:
        known.setdefault(name, pa.field(name, pa.binary()))
    for name in config.text_columns:
        known[name] = pa.field(name, pa.string())
    if config.input.id is not None and config.input.id not in known:
        known[config.input.id] = pa.field(config.input.id, pa.int64())
    schema, base = pa.schema(list(known.values())), full_uri(listing.filesystem, listing.folder)
    reader = ParquetReader(pa.fs.LocalFileSystem(), Partitions(pa.schema([])), "ns")
    return InputTable(
        files=[],
        filesystem=listing.filesystem,
        base=base,
        format=listing.format,
        reader=reader,
        schema=schema,
        filter=None,
        unreadable={},
        metadata={},
        version="",
        columns=check_columns(schema, config),
    )
