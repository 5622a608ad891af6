"""A table format: how the files of a table are found, opened and read.

A format is one file or folder of `pipeline.tables.formats`, and one line in `pipeline.tables.registry`. Listing,
reading, sampling, filtering and the config key `input.format` ask the format; no other list of formats stands anywhere.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.config.input import InputConfig
from pipeline.config.limits import ROW_BYTES
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import storage_errors
from pipeline.tables.input_file import InputFile, check_distinct, listed_file
from pipeline.tables.manifest import Manifest
from pipeline.tables.opened_table import OpenedTable
from vilt.common.json_text import MAX_DEPTH

MAX_IMAGE_BYTES = 2**62  # of an image, if no job limits it


@dataclass(frozen=True)
class Listing:
    """Files of a table that are not opened yet.

    Attributes:
        filesystem: Where they are.
        files: The files to open: all of the table, or some.
        folder: The folder above all of them.
        format: Their format.
        paths: The paths of all files of the table.
        version: The version of the table, in words; "" if its format has none.
    """

    filesystem: AbstractFileSystem
    files: Sequence[InputFile]
    folder: str
    format: TableFormat
    paths: Sequence[str]
    version: str = ""


@dataclass(frozen=True)
class OpenOptions:
    """The keys of a config that say how to open a table.

    Attributes:
        id_column: The column of ids; CSV reads integers there as such.
        text_columns: Columns of texts: if they are stored as binary, they are read as strings.
        filter: Which rows to read, see `pipeline.tables.filter_expression`.
        image_bytes: Most bytes of an image that is a member of a tar.
        row_bytes: Most bytes of a JSON line, and of a text or JSON that is a member of a tar.
        json_depth: Most levels of lists and objects in JSON.
        fixed_text: A text for all rows, as a column.
        column_names: The columns of CSV files without a header line.
        quotes: Whether double quotes enclose values of CSV files; None: what the format says.
        manifest: What keeps what the files of a very large table said, so that no later run asks them again.
        footer_key: A key of Parquet footers, whose value is kept of each file.
    """

    id_column: str | None = None
    text_columns: tuple[str, ...] = ()
    filter: str | None = None
    image_bytes: int = MAX_IMAGE_BYTES
    row_bytes: int = ROW_BYTES
    json_depth: int = MAX_DEPTH
    fixed_text: str | None = None
    column_names: tuple[str, ...] | None = None
    quotes: bool | None = None
    manifest: Manifest | None = None
    footer_key: str | None = None


@dataclass(frozen=True)
class StoredRows:
    """Rows of one file as the file stores them, for copying.

    Attributes:
        schema: The file's own schema, with its metadata.
        compression: Of all columns, or of each column by its path.
        ranges: (number of the first row, how many rows, a function that reads them), in order. The function is called
            only if some of the rows are kept.
        int96: Whether times are stored as INT96.
    """

    schema: pa.Schema
    compression: str | dict[str, str]
    ranges: Iterable[tuple[int, int, Callable[[], Iterable[pa.Table]]]]
    int96: bool = False


@dataclass(frozen=True)
class AddedMember:
    """A JSON object that every sample that is copied gets.

    Attributes:
        name: What follows the key of the sample in the member's name, as in "score.json". If it is "json", the fields
            go to the end of the sample's own `.json`, whose text stays as it is.
        values: The object of each sample, in order; a sample beyond the last one gets none.
    """

    name: str
    values: Iterator[str]


class TableFormat(ABC):
    """A table format.

    Attributes:
        name: What `input.format` calls it.
        extensions: Ends of the names of its files, in lower case.
        marker: Matches the path, relative to the table's folder, of a file that only tables of this format have. It
            counts before all extensions: a folder of Parquet files with a Delta log is a Delta table.
        marker_folder: The folder in which `marker` finds its files.
        title: What messages call a table with the marker, as in "a Delta table".
        fallback: Whether files of this format are a table only if there are none of another: pictures lie beside many.
        claims: Whether the files that `list` returns are of no other format.
        copied_together: How many files' rows `vilt filter` writes to one file.
        hint: What messages about a column that is missing say in the end.
        copies_files: Whether `vilt filter` copies rows to files of this format, by `copy_rows`; if not, to Parquet.
        counts_name: The file beside copied files that says how many rows each holds, as readers of the format know it.
        layout_keys: Keys of `input` about the layout of files that this format has a use for; others refuse them.
        divisible: Whether files have several splits, which opening them tells without reading them.
    """

    name: str
    extensions: tuple[str, ...] = ()
    marker: re.Pattern[str] | None = None
    marker_folder: str = ""
    title: str = ""
    fallback: bool = False
    claims: bool = False
    copied_together: int = 1
    hint: str = ""
    layout_keys: tuple[str, ...] = ()
    copies_files: bool = False
    counts_name: str | None = None
    divisible: bool = False

    def list(self, paths: Sequence[str]) -> Sequence[str]:
        """Return those of the paths, sorted and not hidden, that are files of a table of this format."""
        return [path for path in paths if path.lower().endswith(self.extensions)]

    def listing(
        self, filesystem: AbstractFileSystem, folder: str, paths: Sequence[str], found: Mapping[str, Any]
    ) -> Listing:
        """Return the files at some paths.

        Args:
            filesystem: Where they are.
            folder: The folder above all of them.
            paths: The files of the table.
            found: All that is there, by path, as fsspec tells it.

        Raises:
            ConfigError: A name is of no use, or two are the same.
        """
        files = [listed_file(folder, path, found[path]) for path in paths]
        if any("//" in path for path in paths):
            check_distinct(file.name for file in files)
        return Listing(filesystem, files, folder, self, [*paths])

    def marks(self, filesystem: AbstractFileSystem, folder: str) -> bool:
        """Return whether a folder is a table of this format by what stands beside its files: by default by `marker`."""
        if self.marker is None:
            return False
        try:
            held = filesystem.find(f"{folder}/{self.marker_folder}", maxdepth=1)
        except (*storage_errors(), NotImplementedError):  # a folder that this user, or anybody, may not list
            held = []
        return any(self.marker.search(path.removeprefix(folder)) for path in held)

    def list_named(self, spec: InputConfig, storage: StorageConfig) -> Listing | None:
        """Return the files of a table if `input.path` alone says that it is of this format; else None.

        Raises:
            ConfigError: It is, and cannot be read.
        """
        del spec, storage
        return None

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the files of a table in whose folder `marker` was found.

        Raises:
            ConfigError: Tables of this format are not read, or this one cannot be.
        """
        raise NotImplementedError(f"{self.name} has no marker: {filesystem.protocol} {folder} {spec} {storage}")

    @abstractmethod
    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Read what the files say about themselves: schemas, splits and exact counts of rows.

        Raises:
            ConfigError: A file is damaged, or does not fit the others; the message names it.
        """

    def copy_name(self, file: InputFile) -> str:
        """Return the name under which `vilt filter` writes the copied rows of a file."""
        return file.name if self.copies_files or file.name.endswith(".parquet") else f"{file.name}.parquet"

    def copy_rows(
        self,
        file: InputFile,
        filesystem: AbstractFileSystem,
        keep: Callable[[int], bool],
        target: IO[bytes],
        added: AddedMember | None = None,
    ) -> int:
        """Copy some rows of a file as they are, for formats with `copies_files`.

        Args:
            file: The file.
            filesystem: Where it is.
            keep: Number of a row -> whether to copy it.
            target: The file to write.
            added: What each row that is copied gets beside what it has.

        Returns:
            How many rows the file has.

        Raises:
            ConfigError: The file is damaged, or cannot be copied right.
        """
        raise NotImplementedError(f"{self.name}: {file.name} {filesystem.protocol} {keep} {target} {added}")

    def stored_rows(self, file: InputFile, filesystem: AbstractFileSystem) -> AbstractContextManager[StoredRows] | None:
        """Open a file whose rows can be copied as it stores them; return None if rows are copied as they are read."""
        del file, filesystem
        return None
