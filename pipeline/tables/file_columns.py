"""The files and row groups of a table of very many files as columns: about 150 bytes a file, and no object for each.

The objects that the rest of the program works with, `InputFile`, `OpenedFile` and `UnreadSplit`, are made when they are
asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from pipeline.common.row_ranges import ROW_BITS, RowSet, row_key
from pipeline.tables.datasource import ManySplits, UnreadSplit
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, Split

MANY_FILES = 10_000  # from which on files are kept as columns
NOTHING_DONE = RowSet.none()  # one for all splits of a task, so that it is pickled once
CHUNK = 10_000  # objects that are made at a time
SPLIT_COLUMNS = ("first_row", "rows", "all_rows", "size", "row_group")  # in the order of `Split`


class ListedFiles(Sequence[InputFile]):
    """Files of a table, sorted by path.

    Attributes:
        folder: The folder to which their names are relative.
        columns: path large_string, size int64, etag large_string.
    """

    def __init__(self, folder: str, columns: pa.Table) -> None:
        self.folder, self.columns = folder, columns

    @classmethod
    def of(cls, folder: str, paths: Sequence[str], sizes: Sequence[int], etags: Sequence[str]) -> ListedFiles:
        """Return files from lists of equal lengths."""
        text = pa.large_string()
        columns = {"path": pa.array(paths, text), "size": pa.array(sizes, pa.int64()), "etag": pa.array(etags, text)}
        return cls(folder, pa.table(columns))

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @overload
    def __getitem__(self, index: int) -> InputFile: ...
    @overload
    def __getitem__(self, index: slice) -> ListedFiles: ...
    def __getitem__(self, index: int | slice) -> InputFile | ListedFiles:
        if isinstance(index, slice):
            begin, end, _ = index.indices(len(self))
            return self.having(self.columns.slice(begin, end - begin))
        return next(iter(self.having(self.columns.slice(index % len(self), 1))))

    def having(self, columns: pa.Table) -> Self:
        """Return files of some rows of the columns."""
        return type(self)(self.folder, columns)

    def __iter__(self) -> Iterator[InputFile]:
        for begin in range(0, len(self), CHUNK):
            part = self.columns.slice(begin, CHUNK)
            for path, size, etag in zip(*(part[name].to_pylist() for name in part.column_names), strict=True):
                yield InputFile(path, path.removeprefix(self.folder).lstrip("/"), size, etag)

    @property
    def sizes(self) -> np.ndarray:
        """Return the bytes of each file, int64 (n,)."""
        return self.columns["size"].to_numpy()

    @property
    def names(self) -> pa.ChunkedArray:
        """Return the name of each file."""
        paths = self.columns["path"]
        inside = pc.starts_with(paths, self.folder)
        return pc.ascii_ltrim(pc.if_else(inside, pc.utf8_slice_codeunits(paths, len(self.folder)), paths), "/")

    @property
    def versions(self) -> pa.ChunkedArray:
        """Return the version of each file, see `InputFile.version`."""
        sizes = self.columns["size"].cast(pa.large_string())
        return pc.binary_join_element_wise(self.columns["etag"], sizes, pa.scalar(" ", pa.large_string()))

    @cached_property
    def digest(self) -> str:
        """Return a hash of the names, sizes and etags of all files."""
        return json_hash(_said(self))

    def paths(self) -> ListedPaths:
        """Return the paths of all files."""
        return ListedPaths(self.columns["path"])


class ListedPaths(Sequence[str]):
    """Paths as a column."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found: str | list[str] = (
            self.column[index].to_pylist() if isinstance(index, slice) else self.column[index].as_py()
        )
        return found

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), CHUNK):
            yield from self.column.slice(begin, CHUNK).to_pylist()

    def folders(self) -> list[str]:
        """Return the distinct folders of the files, each with the name of one file in it."""
        names = pc.unique(pc.replace_substring_regex(self.column, r"/[^/]*$", "/-"))
        found: list[str] = names.to_pylist()
        return found


class OpenedFiles(Sequence[OpenedFile]):
    """Files and their splits.

    Attributes:
        files: The files.
        offsets: int64 (files + 1,), of the first split of each file, and the end.
        splits: The names of `SPLIT_COLUMNS` -> int64 (splits,).
    """

    def __init__(self, files: ListedFiles, offsets: np.ndarray, splits: Mapping[str, np.ndarray]) -> None:
        self.files, self.offsets, self.splits = files, offsets, splits

    @classmethod
    def of(cls, files: ListedFiles, opened: Mapping[int, OpenedFile]) -> OpenedFiles:
        """Return files of which some are opened, by their numbers, ascending; the others have no splits."""
        counts = np.zeros(len(files), np.int64)
        counts[list(opened)] = [len(one.splits) for one in opened.values()]
        held = [split for one in opened.values() for split in one.splits]
        columns = {name: np.array([getattr(split, name) for split in held], np.int64) for name in SPLIT_COLUMNS}
        return cls(files, np.append(0, np.cumsum(counts)), columns)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> OpenedFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[OpenedFile]: ...
    def __getitem__(self, index: int | slice) -> OpenedFile | list[OpenedFile]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index % len(self)
        return self._opened(number, self.files[number])

    def __iter__(self) -> Iterator[OpenedFile]:
        for number, file in enumerate(self.files):
            yield self._opened(number, file)

    def _opened(self, number: int, file: InputFile) -> OpenedFile:
        return OpenedFile(file, [self.split(index) for index in range(*self.offsets[number : number + 2].tolist())])

    def split(self, index: int) -> Split:
        """Return a split by its number in the table."""
        return Split(*(int(self.splits[name][index]) for name in SPLIT_COLUMNS))

    @property
    def rows(self) -> int:
        """Return how many rows there are to read."""
        return int(self.splits["rows"].sum())

    @property
    def numbers(self) -> np.ndarray:
        """Return the number of the file of each split, int64 (splits,)."""
        return np.repeat(np.arange(len(self.files)), np.diff(self.offsets))

    def unread(self, done: RowSet) -> UnreadSplits:
        """Return what is left to read when the rows in `done` are finished."""
        begins = (self.numbers << ROW_BITS) + self.splits["first_row"]
        rows = self.splits["rows"] - done.counts_between(begins, begins + self.splits["all_rows"])
        left = np.flatnonzero(rows > 0)
        return UnreadSplits(self, left, done, rows[left])


class UnreadSplits(ManySplits):
    """The rows of many splits that are left to read, in their order.

    Attributes:
        opened: The files.
        left: int64 (n,), the numbers of the splits.
        done: The rows to leave out.
    """

    def __init__(self, opened: OpenedFiles, left: np.ndarray, done: RowSet, rows: np.ndarray) -> None:
        self.opened, self.left, self.done, self._rows = opened, left, done, rows

    @property
    def rows(self) -> np.ndarray:
        """Return the rows that are left of each split, int64 (n,)."""
        return self._rows

    def __len__(self) -> int:
        return len(self.left)

    @overload
    def __getitem__(self, index: int) -> UnreadSplit: ...
    @overload
    def __getitem__(self, index: slice) -> UnreadSplits: ...
    def __getitem__(self, index: int | slice) -> UnreadSplit | UnreadSplits:
        if isinstance(index, slice):
            return UnreadSplits(self.opened, self.left[index], self.done, self._rows[index])
        split = int(self.left[index])
        number = int(np.searchsorted(self.opened.offsets, split, "right")) - 1
        return self._unread(number, self.opened.files[number], split)

    def __iter__(self) -> Iterator[UnreadSplit]:
        numbers = np.searchsorted(self.opened.offsets, self.left, "right") - 1
        if not len(numbers):
            return
        first = int(numbers[0])
        files = enumerate(self.opened.files[first : int(numbers[-1]) + 1], first)
        at, file = next(files)
        for number, split in zip(numbers.tolist(), self.left.tolist(), strict=True):
            while at < number:
                at, file = next(files)
            yield self._unread(number, file, split)

    def _unread(self, number: int, file: InputFile, index: int) -> UnreadSplit:
        split = self.opened.split(index)
        begin = row_key(number, split.first_row)
        done = self.done.between(begin, begin + split.all_rows)
        return UnreadSplit(number, file, split, done if len(done) else NOTHING_DONE)

    @property
    def sizes(self) -> np.ndarray:
        """Return the bytes of each split, int64 (n,)."""
        return self.opened.splits["size"][self.left]

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a read task with its own files alone, and there as objects."""
        return list, (list(self),)


def files_named(files: Sequence[InputFile], names: Collection[str]) -> Sequence[InputFile]:
    """Return the files with these names; of very many as columns, if they were listed so."""
    if isinstance(files, ListedFiles) and len(names) >= MANY_FILES:
        mask = pa.array((file.name in names for file in files), pa.bool_())
        return files.having(files.columns.filter(mask))
    return [file for file in files if file.name in names]


def listing_hash(files: Iterable[InputFile]) -> str:
    """Return a hash of the names, sizes and etags of files; of columns it is computed once."""
    return files.digest if isinstance(files, ListedFiles) else json_hash(_said(files))


def json_hash(values: Iterable[Any]) -> str:
    """Return a hash of the JSON of a list of values, which is never held as a whole."""
    hashed, values = hashlib.sha256(b"["), iter(values)
    joint = ""
    while part := list(islice(values, CHUNK)):
        hashed.update((joint + json.dumps(part)[1:-1]).encode())
        joint = ", "
    hashed.update(b"]")
    return hashed.hexdigest()


def _said(files: Iterable[InputFile]) -> Iterator[tuple[str, int, str]]:
    return ((file.name, file.size, file.etag) for file in files)
