"""Tables of CSV, JSON lines or tars: every file scanned before anything starts, then read in order."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import STORAGE_ERRORS, in_threads
from pipeline.tables.datasource import InputFile, Piece
from pipeline.tables.files import Found
from pipeline.tables.row_formats import RowFormat
from pipeline.tables.schemas import unify

SCAN_BYTES = 2**20  # read at a time while scanning: a tar's headers and small members, but not its large images


def open_row_files(
    files: list[Found], filesystem: AbstractFileSystem, kind: RowFormat
) -> tuple[list[InputFile], pa.Schema]:
    """Scan all files; the schema of all together. Raises ConfigError naming the file that is wrong."""
    scanned = list(in_threads(lambda file: _scan(file.path, filesystem, kind), files))
    schemas = [schema for schema, _ in scanned]
    for file, schema in zip(files, schemas, strict=True):
        if kind.same_columns and set(schema.names) != set(schemas[0].names):
            raise ConfigError(
                f"input.path: {file.path!r} has the columns {', '.join(schema.names)}, "
                f"but {files[0].path!r} has {', '.join(schemas[0].names)}"
            )
    whole = [
        InputFile(file, [Piece(0, rows, rows, file.size, partial(_windows, filesystem, file.path, kind))])
        for file, (_, rows) in zip(files, scanned, strict=True)
    ]
    return whole, unify([file.path for file in files], schemas)


def _windows(
    filesystem: AbstractFileSystem, path: str, kind: RowFormat, schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    """`Windows` of a file, once the first three are bound; how many rows it holds at a time the format decides."""
    del rows
    with filesystem.open(path, "rb", compression="infer") as file:
        yield from kind.read(file, schema)


def _scan(file: str, filesystem: AbstractFileSystem, kind: RowFormat) -> tuple[pa.Schema, int]:
    try:
        return kind.scan(lambda: filesystem.open(file, "rb", block_size=SCAN_BYTES, compression="infer"))
    except (ValueError, pa.ArrowException, EOFError, zlib.error) as error:  # the last two: of gzip
        raise ConfigError(f"input.path: {file!r} is damaged or no such table: {first_line(error)}") from None
    except STORAGE_ERRORS as error:
        raise ConfigError(f"input.path: cannot read {file!r}: {first_line(error)}") from None
