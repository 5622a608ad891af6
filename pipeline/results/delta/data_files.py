"""Data files of a Delta table of results: as the log lists them, and as a commit adds them."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_SOURCE
from pipeline.results.delta.statistics import leaves, statistics_json
from pipeline.storage.parquet.footer import read_metadata


@dataclass(frozen=True)
class DataFile:
    """A file of the table.

    Attributes:
        path: Its path below the table's folder.
        size: Bytes.
        rows: How many rows it has.
        first: The least name of a file of the input that its rows are from, if known; the log does not say.
        last: The greatest such name, if known.
    """

    path: str
    size: int
    rows: int
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class Added:
    """A data file that is to be committed: its entry in the log, the file, and its columns."""

    action: AddAction
    file: DataFile
    schema: pa.Schema

    @property
    def rows(self) -> int:
        """Return how many rows the file has."""
        return self.file.rows


def data_files(table: DeltaTable) -> list[DataFile]:
    """Return the data files of a version of a table."""
    actions = pa.table(table.get_add_actions(flatten=False))
    columns = [actions[name].to_pylist() for name in ("path", "size_bytes", "num_records")]
    return [DataFile(*values) for values in zip(*columns, strict=True)]


def add_action(filesystem: AbstractFileSystem, root: str, path: str, size: int, finite: Collection[str] = ()) -> Added:
    """Return the data file at `path` below `root` for a commit, with the statistics of its footer.

    Args:
        filesystem: Where the table is.
        root: The table's folder.
        path: The file's path below it.
        size: Its bytes.
        finite: See `statistics_json`.
    """
    metadata = read_metadata(filesystem, f"{root}/{path}", size)
    action = AddAction(path, size, {}, int(time.time() * 1000), True, statistics_json(metadata, finite))
    sources = [leaf.bounds for leaf in leaves(metadata) if leaf.path == (ROW_SOURCE, "file")]
    first, last = next((bounds for bounds in sources if bounds), (None, None))
    file = DataFile(path, size, metadata.num_rows, first, last)
    return Added(action, file, metadata.schema.to_arrow_schema().remove_metadata())
