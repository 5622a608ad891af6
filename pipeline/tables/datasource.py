"""The table as Ray Data reads it: every row with its place and a stable hash, finished parts of the table left unread.

Ray Data's own readers do not tell a row's number in its file, which resuming exactly needs; a `Datasource` of read
tasks is how Ray Data takes in others. A task does what comes next as well, a window of rows at a time: where reading is
a stage of its own, both ask for the same cores, and on a small machine each can wait minutes for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ray.data.block import BlockMetadata
from ray.data.datasource.datasource import Datasource, ReadTask

from pipeline.common.columns import PLACE, ROW_HASH, ROW_SOURCE
from pipeline.common.errors import first_line
from pipeline.common.row_ranges import Places, place_of
from pipeline.storage.filesystem import STORAGE_ERRORS, patiently
from pipeline.tables.files import Found
from pipeline.tables.provenance import content_hashes, row_sources

TASK_BYTES = 2**27  # of the table, that one read task reads at most,
TASK_WINDOWS = 4  # or so many windows, lest a task that is killed costs minutes,
MOST_TASKS = 20_000  # unless there were more than these
OWN = (PLACE, ROW_HASH)  # columns that every row gets
Windows = Callable[[pa.Schema, int], Iterator[pa.Table]]
Then = Callable[[Iterator[pa.Table]], Iterator[pa.Table]]


@dataclass(frozen=True, slots=True)  # as the next: of a large table there are millions
class Piece:
    """A run of rows of a file that is read together.

    first: the number of its first row in the file. rows: those that pass the filter. all_rows: all. size: bytes.
    windows: reads all rows, in order, given the columns to read and about how many rows to hold.
    """

    first: int
    rows: int
    all_rows: int
    size: int
    windows: Windows


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of the table and the pieces in which it is read."""

    found: Found
    pieces: list[Piece]


@dataclass(frozen=True)
class Wanted:
    """What to read. schema: of the columns to read. names: of those to hand on. keep: the rows that pass. source:
    whether to tell where each row comes from."""

    schema: pa.Schema
    names: list[str]
    keep: pc.Expression | None
    window_rows: int
    source: bool = False


@dataclass(frozen=True)
class Unread:
    """What is left of a piece. number: of the file in the table. done: places to leave out."""

    number: int
    file: Found
    piece: Piece
    done: Places

    @property
    def rows(self) -> int:
        """How many rows that is."""
        return self.piece.rows - len(self.done)

    def read(self, wanted: Wanted) -> Iterator[pa.Table]:
        """Its rows, with `__place` and `row_hash`. Raises OSError naming the file."""
        try:
            yield from self._read(wanted)
        except (*STORAGE_ERRORS, pa.ArrowException) as error:
            raise OSError(f"{self.file.name}: {first_line(error)}") from None

    def _read(self, wanted: Wanted) -> Iterator[pa.Table]:
        row = self.piece.first
        for table in patiently(lambda: self.piece.windows(wanted.schema, wanted.window_rows), self.file.name):
            rows = np.arange(row, row + table.num_rows)
            row += table.num_rows
            places = place_of(self.number) + rows
            keep = ~self.done.contains(places)
            table = table.append_column(PLACE, pa.array(places))
            table = table.append_column(ROW_HASH, pa.array(row_hashes(self.file.name, rows)))
            table = table if keep.all() else table.filter(pa.array(keep))
            table = table if wanted.keep is None else table.filter(wanted.keep)
            if table.num_rows:
                out = table.select([*wanted.names, *OWN])
                yield out.append_column(ROW_SOURCE, self._sources(table, wanted)) if wanted.source else out

    def _sources(self, table: pa.Table, wanted: Wanted) -> pa.Array:
        files, editions = ([value] * table.num_rows for value in (self.file.name, self.file.edition))
        numbers = table[PLACE].to_numpy() - place_of(self.number)
        return row_sources(files, editions, numbers, content_hashes(table.select(wanted.names)))


class TableSource(Datasource):
    """Ray Data's first stage: reads windows of about `wanted.window_rows` rows and gives what `then` makes of them."""

    def __init__(self, unread: Sequence[Unread], wanted: Wanted, then: Then) -> None:
        super().__init__()
        self.wanted, self.then = wanted, then
        self.tasks: list[list[Unread]] = []
        most = max(TASK_WINDOWS * wanted.window_rows, sum(one.rows for one in unread) // MOST_TASKS)
        most_bytes = max(TASK_BYTES, sum(one.piece.size for one in unread) // MOST_TASKS)
        rows = size = 0
        for one in unread:
            if not self.tasks or rows + one.rows > most or size + one.piece.size > most_bytes:
                self.tasks.append([])
                rows = size = 0
            self.tasks[-1].append(one)
            rows, size = rows + one.rows, size + one.piece.size

    def estimate_inmemory_data_size(self) -> int:
        """Bytes."""
        return sum(one.piece.size for task in self.tasks for one in task)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """The tasks."""
        del parallelism, per_task_row_limit, data_context
        return [ReadTask(partial(_read, task, self.wanted, self.then), _metadata(task)) for task in self.tasks]


def _read(task: Sequence[Unread], wanted: Wanted, then: Then) -> Iterator[pa.Table]:
    yield from then(windows_of((table for one in task for table in one.read(wanted)), wanted.window_rows))


def windows_of(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The rows of `tables` in tables of exactly `rows` rows, but for the last."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        while count + table.num_rows >= rows:
            yield pa.concat_tables([*held, table.slice(0, rows - count)])
            table, held, count = table.slice(rows - count), [], 0
        held, count = [*held, table], count + table.num_rows
    if count:
        yield pa.concat_tables(held)


def _metadata(task: Sequence[Unread]) -> BlockMetadata:
    """Of what is read; how much is made of it is not known."""
    size = sum(one.piece.size for one in task)
    return BlockMetadata(num_rows=None, size_bytes=size, input_files=[one.file.name for one in task], exec_stats=None)


def row_hashes(name: str, rows: np.ndarray) -> np.ndarray:
    """int64 (n,): of rows of the file `name`, the same in every run; within a file no two are equal.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection, on the row's number plus a hash of the name.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    x = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.int64)
