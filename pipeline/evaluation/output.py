"""The output of an evaluation: its folder, and what is known about a benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.metrics import Metric
from pipeline.storage.filesystem import full_uri, make_folder, open_fsspec, storage_errors, write_whole

GROUP_ROWS = 10_000  # of a table that a job reads


class Measured(NamedTuple):
    """The result of a benchmark.

    Attributes:
        benchmark: Its name.
        metrics: The metrics.
        rejected: Reason -> images (retrieval) or rows that the model could not read, which count as wrong.
        missing: Rows without any result, which count as wrong.
        lineage: Which weights, config and code made the results, or where they were found.
        files: More files that were written.
    """

    benchmark: str
    metrics: list[Metric]
    rejected: Mapping[str, int]
    missing: int
    lineage: Mapping[str, str]
    files: list[str]


class Output:
    """The output folder of an evaluation."""

    def __init__(self, uri: str, storage: StorageConfig) -> None:
        """Make the folder.

        Raises:
            ConfigError: It cannot be written to.
        """
        self.uri = uri.rstrip("/")
        self.filesystem, path = open_fsspec(self.uri, "output.path", storage)
        self.path = path.rstrip("/")
        self._make(self.path)

    def write(self, name: str, data: bytes) -> str:
        """Write a file whole and return its URI. name: below the folder."""
        path = f"{self.path}/{name}"
        self._make(path.rpartition("/")[0])
        write_whole(self.filesystem, path, data)
        return f"{self.uri}/{name}"

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file for a job to read, and return its URI.

        A hash of the content is part of the name. An equal file is left as it is, so that a job over it resumes.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=GROUP_ROWS)
        data = bytes(sink.getvalue())
        name = f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
        exists = self.filesystem.exists(f"{self.path}/{name}")
        return f"{self.uri}/{name}" if exists else self.write(name, data)

    def _make(self, folder: str) -> None:
        try:
            make_folder(self.filesystem, folder)
        except storage_errors() as error:
            raise ConfigError(f"output.path: cannot write to {self.uri!r}: {first_line(error)}") from None


def absolute(folder: str, key: str, storage: StorageConfig) -> str:
    """Return a folder's full URI, without a slash at its end."""
    return full_uri(*open_fsspec(folder, key, storage)).rstrip("/")
