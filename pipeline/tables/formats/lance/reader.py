"""Read rows of the fragments of a Lance dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.common.columns import UNREAD
from pipeline.common.parsers import without_panics
from pipeline.tables.filter_expression import Filter
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split
from pipeline.tables.schemas import conform

NUMBER = "__number"  # of a row in its fragment
OFFSET = 2**32 - 1  # of a row address: the row's number in its fragment


@dataclass(frozen=True)
class LanceSource:
    """A version of a dataset; options: (key, value) of its storage."""

    uri: str
    version: int
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LanceReader:
    """Reads rows of fragments.

    Attributes:
        source: The version of the dataset.
        filter: The rows to read; None: all. The columns that it needs are read first, and the others, as images are, of
            the rows that it lets through alone.
    """

    source: LanceSource
    filter: Filter | None = None

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of a split; those that were deleted are null. See `pipeline.tables.opened_table.TableReader`.

        Rows that the filter leaves out are null, too, but for the columns that it needs.
        """
        with without_panics(f"input.path: the Lance dataset {self.source.uri!r}"):
            yield from self._read(file, split, columns, rows)

    def _read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        if not columns.names:  # a table without columns does not say how many rows it has
            yield pa.table({UNREAD: pa.nulls(split.all_rows)}).select([])
            return
        first = [] if self.filter is None else [name for name in columns.names if name in self.filter.names]
        if self.filter is None or len(first) == len(columns) or set(first) != set(self.filter.names):
            yield from self._scan(file, split, columns, rows)
            return
        row = split.first_row
        for table in self._scan(file, split, pa.schema([columns.field(name) for name in first]), rows):
            yield self._with_rest(file, table, row, columns)
            row += table.num_rows

    def _scan(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of a split with all their columns."""
        deleted = file.deleted_rows
        end = split.first_row + split.all_rows
        skipped = split.first_row - len(deleted.between(0, split.first_row))
        live = split.all_rows - len(deleted.between(split.first_row, end))
        row = split.first_row
        fragment = _dataset(self.source).get_fragment(fragment_id(file))
        if live:
            scanner = fragment.scanner(
                columns=columns.names, batch_size=rows, limit=live, offset=skipped, with_row_address=True
            )
            for batch in scanner.to_batches():
                numbers = (batch.column("_rowaddr").to_numpy() & OFFSET).astype(np.int64)
                table = pa.Table.from_batches([batch]).drop_columns(["_rowaddr"])
                yield conform(_in_place(table, numbers, row), columns, {}, file.name)
                row = int(numbers[-1]) + 1
        if row < end:
            yield pa.table([pa.nulls(end - row, one.type) for one in columns], schema=columns)

    def _with_rest(self, file: InputFile, table: pa.Table, row: int, columns: pa.Schema) -> pa.Table:
        """Return rows with all columns. table: the columns of the filter; row: the number of its first row."""
        assert self.filter is not None
        numbers = np.arange(row, row + table.num_rows)
        live = ~file.deleted_rows.contains(numbers)
        numbered = table.append_column(NUMBER, pa.array(numbers)).filter(pa.array(live))
        wanted = numbered.filter(self.filter.pyarrow())[NUMBER].to_numpy()
        rest = pa.schema([column for column in columns if column.name not in table.column_names])
        found = pa.table([pa.nulls(0, column.type) for column in rest], schema=rest)
        if len(wanted):
            before = file.deleted_rows.counts_between(np.zeros_like(wanted), wanted)  # which `take` does not count
            taken = _dataset(self.source).get_fragment(fragment_id(file)).take(wanted - before, columns=rest.names)
            found = conform(taken, rest, {}, file.name)
        places = np.full(table.num_rows, -1, np.int64)
        places[wanted - row] = np.arange(len(wanted))
        found = found.take(pa.array(places, mask=places < 0))
        held = dict(zip([*table.column_names, *rest.names], [*table.columns, *found.columns], strict=True))
        return pa.table([held[name] for name in columns.names], schema=columns)


def _in_place(table: pa.Table, numbers: np.ndarray, first: int) -> pa.Table:
    """Return rows with nulls for those that are missing between them; numbers: of the rows, from `first` on."""
    count = int(numbers[-1]) + 1 - first
    if count == table.num_rows:
        return table
    present = np.zeros(count, bool)
    present[numbers - first] = True
    indices = np.cumsum(present) - 1
    return table.take(pa.array(indices, pa.int64(), mask=~present))


def fragment_id(file: InputFile) -> int:
    """Return the number of the fragment that a file is."""
    return int(file.name.rpartition("/")[2])


@lru_cache(maxsize=4)
def _dataset(source: LanceSource) -> Any:
    import lance

    return lance.dataset(source.uri, source.version, storage_options=dict(source.options))
