"""The data files of a version of a table, and which files of the input their rows are from.

The statistics in the table's log need not say it: see `pipeline.results.delta.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.results.delta.data_files import DataFile
from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.storage.parquet.reading import guarded_table

STORED = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()), ("first", pa.string()), ("last", pa.string())]
)


def write_data_files(files: Sequence[DataFile], filesystem: AbstractFileSystem, path: str) -> None:
    """Write the data files of a table to a Parquet file."""
    columns = list(zip(*(astuple(file) for file in files), strict=True)) or [()] * len(STORED)
    write_parquet(filesystem, path, [pa.table([list(values) for values in columns], schema=STORED)], {})


def read_data_files(filesystem: AbstractFileSystem, path: str) -> list[DataFile]:
    """Return the data files that `write_data_files` wrote."""
    table = guarded_table(path, arrow_filesystem(filesystem))
    return [DataFile(*values) for values in zip(*(table[name].to_pylist() for name in STORED.names), strict=True)]
