"""The table as Ray Data reads it: every row with its key and a stable hash, without the rows that are done.

Ray Data's own readers do not tell a row's number in its file, which resuming exactly needs; a `Datasource` of read
tasks is how Ray Data takes in others. A read task hands its windows to `transform`, which preprocesses them in the
same task: if reading were a stage of its own, both stages would ask for the same cores, and on a small machine each
can wait minutes for the other.
"""

from __future__ import annotations

import errno
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ray.data.block import BlockMetadata
from ray.data.datasource.datasource import Datasource, ReadTask

from pipeline.common.columns import ROW_HASH, ROW_KEY, ROW_SOURCE, UNREAD
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import PARSER_ERRORS, parser_fault
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.config.resources import WINDOW_BYTES
from pipeline.storage.filesystem import patiently, storage_errors
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split, TableReader
from pipeline.tables.provenance import content_hashes, row_sources
from pipeline.tables.schemas import select_read
from vilt.common.counts import counted

TASK_BYTES = 2**27  # of the table, that one read task reads at most,
TASK_WINDOWS = 4  # or so many windows, lest a task that is killed costs minutes,
MOST_TASKS = 20_000  # unless there were more than these
ADDED = (ROW_KEY, ROW_HASH)  # columns that every row gets
Transform = Callable[[Iterator[pa.Table]], Iterator[pa.Table]]


@dataclass(frozen=True)
class ReadPlan:
    """The columns and rows that read tasks hand on.

    Attributes:
        reader: Reads the table's splits.
        columns: The columns to read, those of the filter included, and their types.
        names: The columns to hand on.
        filter: The rows to hand on; None: all.
        window_rows: How many rows to read at a time.
        window_bytes: Most bytes of the rows that go together.
        row_source: Whether to add the column `row_source`.
    """

    reader: TableReader
    columns: pa.Schema
    names: list[str]
    filter: pc.Expression | None
    window_rows: int
    row_source: bool = False
    window_bytes: int = WINDOW_BYTES


@dataclass(frozen=True)
class UnreadSplit:
    """The rows of a split that are left to read.

    Attributes:
        file_number: Number of the file among the sorted files of the table.
        file: The file.
        split: The split.
        done: The rows to leave out, by their keys.
    """

    file_number: int
    file: InputFile
    split: Split
    done: RowSet

    @property
    def rows(self) -> int:
        """Return how many rows are left."""
        return self.split.rows - len(self.done)

    def read(self, plan: ReadPlan) -> Iterator[pa.Table]:
        """Yield the rows that are left, with `__row_key` and `row_hash`.

        Raises:
            OSError: The storage failed; the message names the file.
            ConfigError: The file is damaged, or a value does not fit its column: no later attempt can read it.
        """
        try:
            yield from self._read(plan)
        except storage_errors() as error:
            if type(error) is OSError and error.errno is None:  # pyarrow's, about data
                raise self._damaged(error) from None
            raise OSError(f"{self.file.name}: {first_line(error)}") from None
        except ConfigError:
            raise
        except PARSER_ERRORS as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> ConfigError:
        rows = f"rows {self.split.first_row:,} to {self.split.first_row + self.split.all_rows - 1:,}"
        return ConfigError(
            f"input.path: {self.file.name}, {rows}: cannot be read, the file is damaged or was changed: "
            f"{parser_fault(error)}"
        )

    def _read(self, plan: ReadPlan) -> Iterator[pa.Table]:
        def read_split() -> Iterator[pa.Table]:
            try:
                yield from plan.reader.read(self.file, self.split, plan.columns, plan.window_rows)
            except FileNotFoundError:  # some stores forget a file for a moment; so it is asked for again
                raise OSError(errno.ESTALE, "was listed, and is not there now: was the table changed?") from None

        row, deleted = self.split.first_row, self.file.deleted_rows
        for table in patiently(read_split, self.file.name):
            rows = np.arange(row, row + table.num_rows)
            row += table.num_rows
            keys = row_key(self.file_number) + rows
            keep = ~(self.done.contains(keys) | deleted.contains(rows))
            table = table.append_column(ROW_KEY, pa.array(keys))
            table = table.append_column(ROW_HASH, pa.array(row_hashes(self.file.name, rows)))
            table = table if keep.all() else table.filter(pa.array(keep))
            table = table if plan.filter is None else table.filter(plan.filter)
            if table.num_rows:
                out = select_read(table, [*plan.names, *ADDED])
                yield out.append_column(ROW_SOURCE, self._row_sources(table, plan)) if plan.row_source else out
        if row != self.split.first_row + self.split.all_rows:
            held = f"{counted(row - self.split.first_row, 'row')} where {self.split.all_rows:,} were counted"
            raise OSError(errno.ESTALE, f"has {held}: the table was changed")

    def _row_sources(self, table: pa.Table, plan: ReadPlan) -> pa.Array:
        files, versions = ([value] * table.num_rows for value in (self.file.name, self.file.version))
        numbers = table[ROW_KEY].to_numpy() - row_key(self.file_number)
        hashes = content_hashes(table.select(plan.names))
        if UNREAD in table.column_names:  # what a row of nulls stands for
            unread = table[UNREAD].is_valid().to_numpy()
            hashes[unread] ^= content_hashes(table.select([UNREAD]))[unread]
        return row_sources(files, versions, numbers, hashes)


class ManySplits(Sequence[UnreadSplit], ABC):
    """Splits that are no objects until they are asked for; a slice of them is such a sequence, too."""

    @property
    @abstractmethod
    def rows(self) -> np.ndarray:
        """Return the rows that are left of each split, int64 (n,)."""

    @property
    @abstractmethod
    def sizes(self) -> np.ndarray:
        """Return the bytes of each split, int64 (n,)."""


class TableSource(Datasource):
    """Ray Data's first stage: read tasks, each of some splits.

    Args:
        unread: The splits to read.
        plan: What to read of them.
        transform: Windows of about `plan.window_rows` rows -> the rows that a task gives; it runs in the read task.
    """

    def __init__(self, unread: Sequence[UnreadSplit], plan: ReadPlan, transform: Transform) -> None:
        super().__init__()
        self.plan, self.transform = plan, transform
        rows, sizes = _measures(unread)
        self.size = int(sizes.sum())
        most = max(TASK_WINDOWS * plan.window_rows, int(rows.sum()) // MOST_TASKS)
        most_bytes = max(TASK_BYTES, self.size // MOST_TASKS)
        begins, held_rows, held_bytes = [0], 0, 0
        for index, (row_count, size) in enumerate(zip(rows.tolist(), sizes.tolist(), strict=True)):
            if index > begins[-1] and (held_rows + row_count > most or held_bytes + size > most_bytes):
                begins.append(index)
                held_rows = held_bytes = 0
            held_rows, held_bytes = held_rows + row_count, held_bytes + size
        ends = [*begins[1:], len(unread)]
        self.tasks: list[Sequence[UnreadSplit]] = [unread[begin:end] for begin, end in zip(begins, ends, strict=True)]
        self.tasks = self.tasks if len(unread) else []

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of all splits."""
        return self.size

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """Return the read tasks."""
        del parallelism, per_task_row_limit, data_context
        return [ReadTask(partial(_read, task, self.plan, self.transform), _metadata(task)) for task in self.tasks]


def _read(task: Sequence[UnreadSplit], plan: ReadPlan, transform: Transform) -> Iterator[pa.Table]:
    tables = (table for one in task for table in one.read(plan))
    yield from transform(windows_of(tables, plan.window_rows, plan.window_bytes))


def windows_of(tables: Iterable[pa.Table], rows: int, most_bytes: int = WINDOW_BYTES) -> Iterator[pa.Table]:
    """Yield the rows of `tables` in windows of exactly `rows` rows.

    The last window may be smaller, and so is one that would hold more than `most_bytes`.
    """
    held: list[pa.Table] = []
    count = size = 0
    for table in tables:
        while table.num_rows:
            room = min(rows - count, table.num_rows)
            part = table.slice(0, room)
            while part.num_rows > 1 and size + part.nbytes > most_bytes:
                part = part.slice(0, part.num_rows // 2)
            if held and size + part.nbytes > most_bytes:
                yield _joined(held)
                held, count, size = [], 0, 0
                continue
            held, count, size = [*held, part], count + part.num_rows, size + part.nbytes
            table = table.slice(part.num_rows)
            if count == rows:
                yield _joined(held)
                held, count, size = [], 0, 0
    if count:
        yield _joined(held)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """Return tables as one; those without rows that are not read lack the column `__unread`."""
    return pa.concat_tables(tables, promote_options="default")


def _metadata(task: Sequence[UnreadSplit]) -> BlockMetadata:
    """Return what is known of a task before it runs: what it reads, not how much is made of it."""
    _, sizes = _measures(task)
    files = None if isinstance(task, ManySplits) else [one.file.name for one in task]
    return BlockMetadata(num_rows=None, size_bytes=int(sizes.sum()), input_files=files, exec_stats=None)


def _measures(splits: Sequence[UnreadSplit]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that are left of each split, and its bytes: int64 (n,) both."""
    if isinstance(splits, ManySplits):
        return splits.rows, splits.sizes
    return np.array([one.rows for one in splits], np.int64), np.array([one.split.size for one in splits], np.int64)


def row_hashes(name: str, rows: np.ndarray) -> np.ndarray:
    """Return the hashes of rows of a file, the same in every run; within a file no two are equal.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection, on the row's number plus a hash of the name.

    Args:
        name: Name of the file.
        rows: int64 (n,), numbers of rows in it.

    Returns:
        int64 (n,).
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    x = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.int64)
