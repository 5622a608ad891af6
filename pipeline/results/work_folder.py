"""A folder of an output: its names, small JSON files, and part files of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.storage.filesystem import (
    CONNECTIONS,
    arrow_filesystem,
    in_threads,
    is_object_store,
    remove_files,
    remove_folder,
    write_whole,
)
from pipeline.storage.parquet.footer import read_metadata
from pipeline.storage.parquet.reading import guarded_table
from vilt.common.json_text import read_json

DELTA_LOG = "_delta_log"
PROGRESS, SUMMARY, JOB = "_progress", "_summary.json", "job.json"  # see `pipeline.results.output_folder`
RESULTS = "_results"  # folder of Parquet files with the results, beside tars that have them, too
NOT_KEPT = {FOOTER.encode(), b"ARROW:schema"}  # of a footer: what the writer of the file adds itself
A = TypeVar("A")
B = TypeVar("B")


class WorkFolder:
    """The files directly in the folder `path`."""

    def __init__(self, filesystem: AbstractFileSystem, path: str) -> None:
        self.filesystem, self.path = filesystem, path

    def names(self) -> set[str]:
        """Return the names directly in the folder; none if it does not exist."""
        self.filesystem.invalidate_cache()
        try:
            return {path.rstrip("/").rpartition("/")[2] for path in self.filesystem.ls(self.path, detail=False)} - {""}
        except FileNotFoundError:
            return set()

    def files(self) -> list[str]:
        """Return all files below the folder, relative to it; none if it does not exist."""
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.find(self.path)
        except FileNotFoundError:
            return []
        return [path.partition(f"{self.path.lstrip('/')}/")[2] for path in found]

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file directly in the folder, by name."""
        self.filesystem.invalidate_cache()
        found = self.filesystem.ls(self.path, detail=True)
        return {info["name"].rpartition("/")[2]: info["size"] for info in found if info["type"] == "file"}

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file; None if there is none.

        Raises:
            ConfigError: It is not what a job writes.
        """
        path = f"{self.path}/{name}"
        self.filesystem.invalidate_cache()
        try:
            values = read_json(self.filesystem.cat_file(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(f"{path!r} is not what a job writes: {first_line(error)}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path!r} is not what a job writes: {type(values).__name__} in place of keys")
        files = values.get("files", []) if name == SUMMARY else []
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            raise ConfigError(f"{path!r} is not what a job writes: files is no list of names")
        return values

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file, whole or not at all."""
        write_whole(self.filesystem, f"{self.path}/{name}", json.dumps(values).encode())

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, many with one request if the storage can."""
        paths = [f"{self.path}/{name}" for name in names]
        if is_object_store(self.filesystem):
            remove_files(self.filesystem, paths)
        else:
            each(self.filesystem.rm_file, paths)

    def remove_all(self) -> None:
        """Remove the folder and all that is below it."""
        remove_folder(self.filesystem, self.path)

    def parts(self, names: Iterable[str]) -> list[ResultFile]:
        """Return what these files of results hold, by their footers."""
        names = list(names)
        sizes = self.sizes() if len(names) > 1 else {}

        def footer(name: str) -> ResultFile:
            path = f"{self.path}/{name}"
            size = sizes[name] if name in sizes else self.filesystem.size(path)
            metadata = read_metadata(self.filesystem, path, size).metadata
            written = ResultFile.from_json(metadata[FOOTER.encode()])
            written.name = name
            return written

        return list(in_threads(footer, names, CONNECTIONS))


def refuse_delta(out: WorkFolder) -> None:
    """Refuse an output folder that holds a Delta table.

    Raises:
        ConfigError: It does; files beside those of its log would not belong to it.
    """
    if DELTA_LOG in out.names():
        raise ConfigError(
            f"output.path: {out.path!r} holds a Delta table; choose another folder, set output.format=delta, or use "
            "`vilt reindex`"
        )


def each(do: Callable[[A], B], values: Iterable[A]) -> list[B]:
    """Return what `do` returns for each value; see `in_threads`."""
    return list(in_threads(do, list(values)))


def read_part(filesystem: AbstractFileSystem, path: str) -> tuple[pa.Table, dict[str, str]]:
    """Read a file of results, and the keys and values in its footer: its lineage, and those of the input's files."""
    table = guarded_table(path, arrow_filesystem(filesystem))
    metadata = table.schema.metadata or {}
    kept = {key.decode(): value.decode(errors="replace") for key, value in metadata.items() if key not in NOT_KEPT}
    return table.replace_schema_metadata(None), kept


def write_parquet(
    filesystem: AbstractFileSystem, path: str, tables: Iterable[pa.Table], metadata: Mapping[str, str]
) -> int:
    """Write tables of one schema as one file, whole or not at all; return its size in bytes.

    Args:
        filesystem: The storage.
        path: The file.
        tables: One at least.
        metadata: Keys and values for the footer.
    """
    sink, writer = pa.BufferOutputStream(), None
    for table in tables:
        if writer is None:
            # In the schema, too: what programs ask for, who find a schema of Arrow's in the file.
            writer = pq.ParquetWriter(sink, table.schema.with_metadata(dict(metadata)), compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    content = sink.getvalue()
    write_whole(filesystem, path, content)
    return content.size
