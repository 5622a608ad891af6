"""A sample of a table: rows drawn at random from some of its row groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.common.columns import ROW_KEY
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.tables.table import InputTable

SPLITS = 32  # row groups of the table that a sample is drawn from at most
SCAN_ROWS = 10_000  # read at a time to find the rows that pass the filter


@dataclass(frozen=True)
class Sample:
    """Rows to read.

    Attributes:
        rows: The drawn rows.
        others: All other rows of the table that pass its filter, as a run takes them for done.
        rows_read: Rows of the row groups that hold the drawn rows: all are read to get at these.
    """

    rows: RowSet
    others: RowSet
    rows_read: int


def draw_sample(table: InputTable, count: int, seed: int) -> Sample:
    """Draw `count` rows, or all if the table has fewer.

    Up to `SPLITS` row groups (or files, in formats without row groups) are drawn, each as likely as it has rows, and
    the same number of rows from each. From a table with fewer row groups the rows are drawn from all of them.

    Args:
        table: The table.
        count: Rows to draw.
        seed: The seed of the draw.

    Raises:
        OSError: A file cannot be read; the text names it.
    """
    splits = [(number, split) for number, file in enumerate(table.files) for split in file.splits if split.rows]
    ranges = [
        RowSet.of_range(row_key(number, split.first_row), row_key(number, split.first_row + split.all_rows))
        for number, split in splits
    ]
    everything = RowSet.union(ranges)
    drawn = _draw(np.array([split.rows for _, split in splits], np.int64), count, np.random.default_rng(seed))
    chosen, passing = [], dict(enumerate(ranges))
    for index, numbers in drawn.items():
        split, begin = splits[index][1], int(ranges[index].begins[0])
        if split.rows < split.all_rows:
            rows = _passing_rows(table, everything, ranges[index])
            passing[index] = RowSet.of(rows)
            chosen.append(rows[numbers])
        else:
            chosen.append(begin + numbers)
    sample = RowSet.of(np.concatenate(chosen))
    others = RowSet.union(passing.values()).minus(sample)
    return Sample(sample, others, sum(splits[index][1].all_rows for index in drawn))


def _draw(rows: np.ndarray, count: int, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Return the index of each drawn row group -> the numbers of its drawn rows, int64, ascending.

    Args:
        rows: int64 (row groups,), the rows of each that pass the filter.
        count: Rows to draw.
        rng: The source of randomness.
    """
    count = min(count, int(rows.sum()))
    if len(rows) <= SPLITS:
        ends = np.cumsum(rows)
        numbers = np.sort(rng.choice(int(ends[-1]), count, replace=False))
        split = np.searchsorted(ends, numbers, "right")
        return {int(i): numbers[split == i] - (ends[i] - rows[i]) for i in np.unique(split)}
    chosen = np.sort(rng.choice(len(rows), SPLITS, replace=False, p=rows / rows.sum()))
    share = -(-count // SPLITS)
    return {int(p): np.sort(rng.choice(rows[p], min(share, int(rows[p])), replace=False)) for p in chosen}


def _passing_rows(table: InputTable, everything: RowSet, rows: RowSet) -> np.ndarray:
    """Return which of these rows pass the table's filter, int64."""
    plan = table.plan([], SCAN_ROWS)
    tables = [part for unread in table.unread(everything.minus(rows)) for part in unread.read(plan)]
    return np.concatenate([np.empty(0, np.int64), *(part[ROW_KEY].to_numpy() for part in tables)])
