"""An opened table: what its files say about themselves, its splits, and the reader that travels to the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from pipeline.tables.filter_expression import Filter
from pipeline.tables.input_file import InputFile


@dataclass(frozen=True, slots=True)  # as the next: of a large table there are millions
class Split:
    """Rows of one file that are read together: a row group of a Parquet file, or a whole file of another format.

    Attributes:
        first_row: Number of the first row in the file.
        rows: How many rows pass `input.filter`.
        all_rows: How many rows there are.
        size: Bytes, uncompressed if the format says so.
        row_group: Number of the row group; 0 for a whole file.
    """

    first_row: int
    rows: int
    all_rows: int
    size: int
    row_group: int = 0


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file and its splits, in the order of their rows."""

    file: InputFile
    splits: list[Split]

    @property
    def name(self) -> str:
        """Return the path relative to the table's folder."""
        return self.file.name

    @property
    def rows(self) -> int:
        """Return how many rows pass the filter."""
        return sum(split.rows for split in self.splits)


class TableReader(Protocol):
    """Reads splits of an opened table. It travels to the workers with each read task, so it must pickle."""

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield all rows of a split, in order.

        Args:
            file: The file.
            split: Which of its rows.
            columns: Columns to read, and of which types; they may be none.
            rows: About how many rows a table should hold.

        Yields:
            Tables of these columns; and, if rows could not be read, of `__unread`, see `schemas.select_read`.
        """


@dataclass(frozen=True)
class OpenedTable:
    """A table whose files were opened: its columns, splits and reader.

    Attributes:
        files: The files and their splits.
        schema: The columns of all files together.
        reader: Reads the splits.
        filter: The rows to read, checked against the schema.
        unreadable: Columns that cannot be read right -> why. They are not in `schema`; a job that does not carry them
            runs without them.
        metadata: Keys and values of the files' footers, as Hugging Face's datasets and pandas write them, that all
            files share.
        members: What follows the keys in the names of the members of tars.
        footers: The value of `OpenOptions.footer_key` in the footer of each file; none of a very large table.
    """

    files: Sequence[OpenedFile]
    schema: pa.Schema
    reader: TableReader
    filter: Filter | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    footers: Sequence[bytes | None] = ()
