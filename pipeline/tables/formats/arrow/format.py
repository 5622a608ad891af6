"""Arrow files, and the folders that `datasets.save_to_disk` writes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri, storage_errors
from pipeline.tables.format import Listing, OpenOptions
from pipeline.tables.formats.arrow.body_sizes import check_bodies
from pipeline.tables.formats.row_format import OpenFile, RowFormat, Scan
from pipeline.tables.input_file import listed_file
from pipeline.tables.schemas import as_text, conform, is_convertible, plain, unify_readable

MAGIC = b"ARROW1"  # begins files of batches with an index; streams have none
STATE, SPLITS = "state.json", "dataset_dict.json"
END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream
MOST_ROWS = 2**12  # of a batch, given at a time


class ArrowFormat(RowFormat):
    """Arrow files: streams, as `datasets` writes them, or files with an index (Feather 2)."""

    name = "arrow"
    extensions = (".arrow", ".feather")
    filtered = True

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Read all batches, to count their rows. See `RowFormat`."""
        rows = 0
        with file() as opened:
            indexed = opened.read(len(MAGIC)) == MAGIC
            opened.seek(0)
            check_bodies(opened, indexed)
            opened.seek(0)
            schema, batches = _batches(opened)
            if len(set(schema.names)) != len(schema.names):
                twice = next(name for name in schema.names if schema.names.count(name) > 1)
                raise ValueError(f"two columns are named {twice!r}")
            for batch in batches:
                rows += batch.num_rows
            _check_end(opened)
        fields = [(field.name, plain(field.type) if is_convertible(field.type) else field.type) for field in schema]
        texts = options.text_columns
        return Scan(pa.schema([(name, as_text(kind) if name in texts else kind) for name, kind in fields]), rows)

    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Join the columns of all files."""
        schema, unreadable = unify_readable(paths, [scan.schema for scan in scans])
        odd = {field.name: f"it is {field.type}" for field in schema if not is_convertible(field.type)}
        return pa.schema([field for field in schema if field.name not in odd]), {**unreadable, **odd}

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Read batch by batch. See `RowFormat`."""
        del options
        schema, batches = _batches(file)
        if set(columns.names) < set(schema.names):
            file.seek(0)
            _, batches = _batches(file, [i for i, name in enumerate(schema.names) if name in columns.names])
        for batch in batches:
            for first in range(0, batch.num_rows, MOST_ROWS):
                yield conform(pa.Table.from_batches([batch.slice(first, MOST_ROWS)]), columns, {}, "an Arrow file")


def _check_end(file: IO[bytes]) -> None:
    """Check that a stream ends as writers end it: one that was cut off between two batches looks whole to readers."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - len(END)))
        if file.read() != END:
            raise ValueError("the stream has no mark of its end: it is cut off")


def _batches(file: IO[bytes], columns: Sequence[int] | None = None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the batches of a stream, or of a file with an index.

    Args:
        file: The file.
        columns: The columns to read and to decompress, by their numbers; None: all.
    """
    options = pa.ipc.IpcReadOptions(included_fields=None if columns is None else list(columns))
    begin = file.read(len(MAGIC))
    file.seek(0)
    if begin == MAGIC:
        indexed = pa.ipc.open_file(pa.PythonFile(file, "r"), options=options)
        return indexed.schema, (indexed.get_batch(number) for number in range(indexed.num_record_batches))
    stream = pa.ipc.open_stream(pa.PythonFile(file, "r"), options=options)
    return stream.schema, iter(stream)


class SavedDatasetFormat(ArrowFormat):
    """A folder that `datasets.save_to_disk` wrote: the Arrow files that its `state.json` lists, in that order.

    Of a `DatasetDict` one split is read: name its folder.
    """

    name = "datasets"
    title = "a dataset that datasets.save_to_disk wrote"
    extensions = (STATE, SPLITS)

    def list(self, paths: Sequence[str]) -> Sequence[str]:
        """Return nothing: a folder is known by what its `state.json` says."""
        del paths
        return []

    def listing(
        self, filesystem: AbstractFileSystem, folder: str, paths: Sequence[str], found: Mapping[str, Any]
    ) -> Listing:
        """Refuse files that no state lists."""
        del filesystem, paths, found
        raise ConfigError(f"input.format: {self.name!r}, but {folder!r} has no {STATE} that lists Arrow files")

    def marks(self, filesystem: AbstractFileSystem, folder: str) -> bool:
        """Return whether a folder holds what `datasets` writes beside the files."""
        try:
            if filesystem.isfile(f"{folder}/{SPLITS}"):
                return "splits" in _read(filesystem, f"{folder}/{SPLITS}")
            return filesystem.isfile(f"{folder}/{STATE}") and "_data_files" in _read(filesystem, f"{folder}/{STATE}")
        except (ConfigError, NotImplementedError, *storage_errors()):
            return False

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the files that the state names."""
        del storage
        uri = full_uri(filesystem, folder)
        if filesystem.exists(f"{folder}/{SPLITS}"):
            splits = _read(filesystem, f"{folder}/{SPLITS}").get("splits", [])
            choices = " or ".join(f"{spec.path.rstrip('/')}/{name}" for name in splits)
            raise ConfigError(f"input.path: {spec.path!r} is a DatasetDict; name one of its splits: {choices}")
        state = _read(filesystem, f"{folder}/{STATE}")
        names = [one.get("filename") for one in state.get("_data_files", [])]
        if not names or not all(isinstance(name, str) and "/" not in name for name in names):
            raise ConfigError(f"input.path: {STATE} in {uri!r} lists no files; datasets.save_to_disk writes some")
        if state.get("_indices_data_files") or state.get("_indices_files"):
            raise ConfigError(
                f"input.path: {uri!r} has a list of indices, which older releases of datasets wrote and which decides "
                "which rows there are: load it and save it with datasets 2 or later"
            )
        try:
            files = [listed_file(folder, f"{folder}/{name}", filesystem.info(f"{folder}/{name}")) for name in names]
        except FileNotFoundError as error:
            raise ConfigError(f"input.path: {STATE} in {uri!r} lists a file that is not there: {error}") from None
        return Listing(filesystem, files, folder, self, [file.path for file in files])


def _read(filesystem: AbstractFileSystem, path: str) -> dict[str, Any]:
    try:
        values = json.loads(filesystem.cat_file(path))
    except ValueError as error:
        raise ConfigError(f"input.path: {path!r} is no JSON: {error}") from None
    return values if isinstance(values, dict) else {}
