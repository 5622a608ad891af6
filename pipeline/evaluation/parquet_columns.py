"""Read columns of Parquet results, of a job or of another program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import arrow_filesystem, open_fsspec, storage_errors
from pipeline.storage.parquet.reading import guarded_batches
from pipeline.tables.listing.files import check_plain, marked_at
from pipeline.tables.reading import read_columns as read_table_columns
from pipeline.tables.table import open_files

BATCH_ROWS = 2**16  # of results, held at a time


def first_columns(path: str, key: str, storage: StorageConfig) -> list[str]:
    """Return the names of the columns of a Parquet file, or of the first one in a folder; none in a table with a log.

    Raises:
        ConfigError: The files cannot be read.
    """
    filesystem, where = open_fsspec(path, key, storage)
    with _as_config_error(path, key):
        if not filesystem.isfile(where) and marked_at(filesystem, where.rstrip("/")):
            return []
        file = _parquet_files(filesystem, where, key)[0]
        return pq.read_schema(file, filesystem=arrow_filesystem(filesystem)).names


def read_columns(
    path: str,
    key: str,
    needed: Sequence[str],
    storage: StorageConfig,
    optional: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.Table]:
    """Yield columns of a Parquet file, of all Parquet files in a folder, or of a table with a log, some rows at a time.

    Args:
        path: The file or folder.
        key: The config key that names it.
        needed: Columns that every file has.
        storage: How to reach s3://.
        optional: Columns of strings that are null if a file lacks them.
        batch_rows: Most rows at a time.

    Raises:
        ConfigError: The files cannot be read, or lack a needed column.
    """
    filesystem, where = open_fsspec(path, key, storage)
    arrow = arrow_filesystem(filesystem)
    with _as_config_error(path, key):
        if not filesystem.isfile(where) and marked_at(filesystem, where.rstrip("/")):
            yield from _read_logged(path, key, needed, storage, optional)
            return
        for file in _parquet_files(filesystem, where, key):
            columns = _present(pq.read_schema(file, filesystem=arrow).names, needed, optional, f"{key}: {file!r}")
            for batch in guarded_batches(file, arrow, columns, batch_rows, key):
                yield _with_nulls(pa.Table.from_batches([batch]), [*needed, *optional])


@contextmanager
def _as_config_error(path: str, key: str) -> Iterator[None]:
    """While it is open, raise what reading raises as a ConfigError that names the key."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{key}: {path!r} holds what is not Parquet: {first_line(error)}") from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {path!r}: {first_line(error)}") from None


def _read_logged(
    path: str, key: str, needed: Sequence[str], storage: StorageConfig, optional: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield columns of a table whose log says which rows there are, as a Delta table of results."""
    try:
        table = open_files(InputConfig(path=path), storage, [])
    except ConfigError as error:
        raise ConfigError(str(error).replace("input.path", key, 1)) from None
    columns = _present(table.schema.names, needed, optional, f"{key}: {path!r}")
    for rows in read_table_columns(table, columns, BATCH_ROWS):
        yield _with_nulls(rows, [*needed, *optional])


def _present(names: Sequence[str], needed: Sequence[str], optional: Sequence[str], what: str) -> list[str]:
    """Return the needed columns, and those of the optional ones that are there.

    Raises:
        ConfigError: A needed one is not; the message begins with `what`.
    """
    if missing := [name for name in needed if name not in names]:
        raise ConfigError(
            f"{what} has another layout: expected the columns {', '.join(needed)}, found {', '.join(names)}, without "
            f"{missing[0]!r}"
        )
    return [*needed, *(name for name in optional if name in names)]


def _with_nulls(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return these columns, as null strings if the rows lack them."""
    for name in names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows.select(names)


def _parquet_files(filesystem: AbstractFileSystem, where: str, key: str) -> list[str]:
    """Return a file as it is; or all Parquet files of a folder but those in hidden folders.

    Raises:
        ConfigError: The folder is a table whose log says which of its files count.
    """
    if filesystem.isfile(where):
        return [where]
    filesystem.invalidate_cache()
    found = filesystem.find(where, detail=True)
    check_plain(filesystem, where, found, key)
    below = {file: file.removeprefix(where).split("/") for file in found}
    files = [
        file
        for file, parts in below.items()
        if file.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in parts)
    ]
    if not files:
        raise FileNotFoundError(f"{where}: no .parquet files there")
    return sorted(files)
