"""DuckDB as the pipeline uses it: on disk, within a fixed memory, and without a way to the outside."""

from __future__ import annotations

import os

import duckdb

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
