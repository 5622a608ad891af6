"""DuckDB as the pipeline uses it: on disk, within a fixed memory, and without a way to the outside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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


@contextmanager
def temporary_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in a folder that is removed at the end, which reaches no other file, no network, no extension."""
    with (
        tempfile.TemporaryDirectory(prefix="vilt-duckdb-") as folder,
        duckdb.connect(
            f"{folder}/temporary.duckdb",
            config={"memory_limit": MEMORY, "temp_directory": folder, "threads": str(os.cpu_count() or 1)},
        ) as database,
    ):
        for name in _OFF:
            database.execute(f"SET {name} = false")
        database.execute("SET lock_configuration = true")
        yield database


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
