"""Files of an evaluation: where they go, and Parquet results that come back from there or from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.metrics import Metric
from pipeline.storage.filesystem import (
    STORAGE_ERRORS,
    arrow_filesystem,
    full_uri,
    make_folder,
    open_fsspec,
    write_whole,
)

BATCH_ROWS = 2**16  # of results, held at a time
GROUP_ROWS = 10_000  # of a table that a job reads


class Measured(NamedTuple):
    """What came out of a benchmark.

    rejected: reason -> number of images (retrieval) or rows (else) that the model could not read, which count as wrong.
    missing: rows without any result, which count as wrong. lineage: which weights, config and code; or the results'
    place. files: others that were written.
    """

    benchmark: str
    metrics: list[Metric]
    rejected: Mapping[str, int]
    missing: int
    lineage: Mapping[str, str]
    files: list[str]


class Output:
    """The folder of an evaluation. Raises ConfigError where it cannot be written to."""

    def __init__(self, uri: str, storage: StorageConfig) -> None:
        self.uri = uri.rstrip("/")
        self.filesystem, path = open_fsspec(self.uri, "output.path", storage)
        self.path = path.rstrip("/")
        self._make(self.path)

    def write(self, name: str, data: bytes) -> str:
        """Write a file whole; its URI. name: below the folder."""
        path = f"{self.path}/{name}"
        self._make(path.rpartition("/")[0])
        write_whole(self.filesystem, path, data)
        return f"{self.uri}/{name}"

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file for a job to read, under a name that tells its content; its URI. An equal one that is
        there is left as it is: then a job over it goes on where it was.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=GROUP_ROWS)
        data = bytes(sink.getvalue())
        name = f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
        there = self.filesystem.exists(f"{self.path}/{name}")
        return f"{self.uri}/{name}" if there else self.write(name, data)

    def _make(self, folder: str) -> None:
        try:
            make_folder(self.filesystem, folder)
        except STORAGE_ERRORS as error:
            raise ConfigError(f"output.path: cannot write to {self.uri!r}: {first_line(error)}") from None


def absolute(folder: str, key: str, storage: StorageConfig) -> str:
    """A folder's full URI, without a slash at its end."""
    return full_uri(*open_fsspec(folder, key, storage)).rstrip("/")


def read_columns(
    path: str, key: str, needed: Sequence[str], storage: StorageConfig, optional: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """Columns of a Parquet file, or of all Parquet files in a folder, some rows at a time; an optional column that a
    file lacks is null. Raises ConfigError naming the config key.
    """
    filesystem, where = open_fsspec(path, key, storage)
    arrow = arrow_filesystem(filesystem)
    try:
        for file in _parquet_files(filesystem, where):
            with pq.ParquetFile(file, filesystem=arrow) as opened:
                names = opened.schema_arrow.names
                if missing := [name for name in needed if name not in names]:
                    raise ConfigError(
                        f"{key}: {file!r} has another layout: expected the columns {', '.join(needed)}, found "
                        f"{', '.join(names)}, without {missing[0]!r}"
                    )
                wanted = [*needed, *(name for name in optional if name in names)]
                for batch in opened.iter_batches(BATCH_ROWS, columns=wanted):
                    table = pa.Table.from_batches([batch])
                    for name in optional:
                        if name not in names:
                            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
                    yield table.select([*needed, *optional])
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{key}: {path!r} holds what is not Parquet: {first_line(error)}") from None
    except STORAGE_ERRORS as error:
        raise ConfigError(f"{key}: cannot read {path!r}: {first_line(error)}") from None


def _parquet_files(filesystem: AbstractFileSystem, where: str) -> list[str]:
    """A file as it is; of a folder all Parquet files, those in hidden folders left out."""
    if filesystem.isfile(where):
        return [where]
    filesystem.invalidate_cache()
    below = {file: file.removeprefix(where).split("/") for file in filesystem.find(where)}
    files = [
        file
        for file, parts in below.items()
        if file.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in parts)
    ]
    if not files:
        raise FileNotFoundError(f"{where}: no .parquet files there")
    return sorted(files)
