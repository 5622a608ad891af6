"""The files that a table's log lists: as objects, or of very many as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from pipeline.common.row_ranges import RowSet
from pipeline.tables.file_columns import CHUNK, ListedFiles
from pipeline.tables.input_file import InputFile

Constants = tuple[tuple[str, Any], ...]
Stored = tuple[tuple[str, str], ...]
TEXT = pa.large_string()
SAID = {"path": TEXT, "name": TEXT, "size": pa.int64(), "etag": TEXT, "deleted": TEXT}  # of each file, by its log
COLUMNS = (*SAID, "constant", "head")


@dataclass(frozen=True, slots=True)
class LoggedFile(InputFile):
    """A file that a log lists.

    Attributes:
        constants: (column, value) of the columns that the log knows and the file need not hold.
        stored: (column of the table, column of the file) of all columns that the file holds; known once it is opened.
    """

    constants: Constants = ()
    stored: Stored = ()

    def without_rows(self, deleted: RowSet) -> LoggedFile:
        """Return the file without the rows that its log has deleted: another version of the file."""
        if not len(deleted):
            return self
        encoded = deleted.encode()
        mark = hashlib.sha256(encoded.encode()).hexdigest()[:16]
        return replace(self, etag=f"{self.etag} {mark}", deleted=encoded)

    def opened(self, stored: Stored, files_first: bool) -> LoggedFile:
        """Return the file with its columns; files_first: whether one that it holds counts before the log's value."""
        held = dict(stored) if files_first else {}
        return replace(
            self, stored=stored, constants=tuple((name, value) for name, value in self.constants if name not in held)
        )


class LoggedFiles(ListedFiles):
    """Very many files that a log lists.

    Attributes:
        folder: The folder to which their names are relative.
        columns: Those of `ListedFiles`, in the order of `name`, large_string; `deleted` large_string, see `InputFile`;
            `constant` and `head` int32, indices into `constants` and `stored`.
        constants: The distinct constants of files.
        stored: The distinct columns of files; none until they are opened.
        files_first: See `LoggedFile.opened`.
    """

    def __init__(
        self,
        folder: str,
        columns: pa.Table,
        constants: Sequence[Constants],
        stored: Sequence[Stored] = (),
        files_first: bool = False,
    ) -> None:
        super().__init__(folder, columns)
        self.constants, self.stored, self.files_first = constants, stored, files_first

    @classmethod
    def of_objects(cls, folder: str, files: Sequence[LoggedFile]) -> LoggedFiles:
        """Return files in the order of their names."""
        distinct: dict[str, int] = {}
        constants: list[Constants] = []
        constant = np.empty(len(files), np.int32)
        for number, file in enumerate(files):
            constant[number] = index = distinct.setdefault(repr(file.constants), len(constants))
            if index == len(constants):
                constants.append(file.constants)
        said = {name: pa.array([getattr(file, name) for file in files], kind) for name, kind in SAID.items()}
        return cls.of_columns(folder, said, constant, constants)

    @classmethod
    def of_columns(
        cls, folder: str, said: Mapping[str, pa.Array], constant: np.ndarray, constants: Sequence[Constants]
    ) -> LoggedFiles:
        """Return files in the order of their names.

        Args:
            folder: The table's folder.
            said: Arrays of the names and types of `SAID`.
            constant: int32 (n,), the constants of each file.
            constants: The distinct constants.
        """
        numbers = {"constant": pa.array(constant, pa.int32()), "head": pa.array(np.zeros(len(constant), np.int32))}
        return cls(folder, pa.table({**said, **numbers}).sort_by("name"), constants)

    def opened(self, head: np.ndarray, stored: Sequence[Stored], files_first: bool) -> LoggedFiles:
        """Return the files with their columns; head: int32 (n,), which of `stored` each has."""
        at = self.columns.column_names.index("head")
        columns = self.columns.set_column(at, "head", pa.array(head, pa.int32()))
        return LoggedFiles(self.folder, columns, self.constants, stored, files_first)

    def having(self, columns: pa.Table) -> Self:
        """Return files of some rows of the columns."""
        return type(self)(self.folder, columns, self.constants, self.stored, self.files_first)

    @property
    def names(self) -> pa.ChunkedArray:
        """Return the name of each file."""
        return self.columns["name"]

    def without_rows(self, deleted: dict[str, RowSet]) -> LoggedFiles:
        """Return the files without the rows that their log has deleted; deleted: by name, taken from when found."""
        etags, marks = self.columns["etag"].to_pylist(), [""] * len(self)
        for number, file in enumerate(iter(self)):
            if rows := deleted.pop(file.name, None):
                changed = file.without_rows(rows)
                etags[number], marks[number] = changed.etag, changed.deleted
        columns = self.columns
        for name, values in (("etag", etags), ("deleted", marks)):
            columns = columns.set_column(columns.column_names.index(name), name, pa.array(values, TEXT))
        return self.having(columns)

    def __iter__(self) -> Iterator[LoggedFile]:
        known: dict[tuple[int, int], tuple[Constants, Stored]] = {}
        for begin in range(0, len(self), CHUNK):
            part = self.columns.slice(begin, CHUNK)
            values = (part[name].to_pylist() for name in COLUMNS)
            for path, name, size, etag, deleted, constant, head in zip(*values, strict=True):
                if (constant, head) not in known:
                    file = LoggedFile(path, name, size, etag, deleted, self.constants[constant])
                    file = file.opened(self.stored[head], self.files_first) if self.stored else file
                    known[constant, head] = file.constants, file.stored
                constants, stored = known[constant, head]
                yield LoggedFile(path, name, size, etag, deleted, constants, stored)
