"""DuckDB as the pipeline uses it: on disk, within a fixed memory, and without a way to the outside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import duckdb
import pyarrow as pa

MEMORY = "1GB"
_OFF = (
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "enable_external_access",
    "enable_progress_bar",
    "python_enable_replacements",
)


def open_database(path: str, folder: str) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB that spills into `folder` and reaches no other file, no network and no extension."""
    database = duckdb.connect(
        path, config={"memory_limit": MEMORY, "temp_directory": folder, "threads": str(os.cpu_count() or 1)}
    )
    for name in _OFF:
        database.execute(f"SET {name} = false")
    database.execute("SET lock_configuration = true")
    return database


def load(database: duckdb.DuckDBPyConnection, statement: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Run a statement over rows that are read while it runs.

    Args:
        database: The database.
        statement: SQL that reads the rows from `given`.
        schema: The columns of `given`, all of which the tables have.
        tables: The rows; what they raise is raised here as it is, not as an error of DuckDB with its text.
    """
    failed: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for table in tables:
                yield from table.select(schema.names).cast(schema).to_batches()
        except Exception as error:
            failed.append(error)

    database.register("given", pa.RecordBatchReader.from_batches(schema, batches()))
    database.execute(statement)
    database.unregister("given")
    if failed:
        raise failed[0]
