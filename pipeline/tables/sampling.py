"""A sample of a table: rows drawn at random from some of its splits, read with the job's own reader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.common.row_ranges import Places
from pipeline.config.job import JobConfig
from pipeline.tables.datasource import ReadPlan, UnreadSplit
from pipeline.tables.table import InputTable, read_plan

SPLITS = 32  # of the table, that are read at most: each up to its last drawn row
READ_ROWS = 256  # at a time


@dataclass(frozen=True)
class Timed:
    """Parts of the work that were timed: int64 (n,) rows of the input, and the float64 (n,) seconds they took."""

    rows: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, pairs: list[tuple[int, float]]) -> Timed:
        """Return the parts with these (rows, seconds)."""
        return cls(np.array([rows for rows, _ in pairs], np.int64), np.array([s for _, s in pairs], float))

    @property
    def per_row(self) -> float:
        """Return seconds a row; 0 if no row was timed."""
        return float(self.seconds.sum() / self.rows.sum()) if self.rows.sum() else 0.0


@dataclass(frozen=True)
class Sample:
    """Rows of a table.

    Attributes:
        rows: As the reader gives them, in the order of the table.
        reading: What it took to read them, split by split.
    """

    rows: pa.Table
    reading: Timed

    def windows(self, size: int) -> Iterator[pa.Table]:
        """Yield the rows in windows, as the job has them."""
        for first in range(0, self.rows.num_rows, size):
            yield self.rows.slice(first, size)


def draw_sample(table: InputTable, config: JobConfig, count: int, seed: int) -> Sample:
    """Return `count` rows, or all if there are fewer.

    Up to `SPLITS` row groups, or files of rows, are drawn, each as likely as it has rows, and the same number of rows
    from each; if the table has no more splits, rows are drawn from all.

    Raises:
        OSError: The storage failed; the message names the file.
    """
    splits = [
        UnreadSplit(number, opened.file, split, Places.none())
        for number, opened in enumerate(table.files)
        for split in opened.splits
        if split.rows
    ]
    drawn = _draw([one.rows for one in splits], count, np.random.default_rng(seed))
    plan = read_plan(table, min(READ_ROWS, config.batch.window_rows))
    found, reading = [], []
    for index, rows in drawn.items():
        started = time.perf_counter()
        tables, seen = _take(splits[index], plan, rows)
        reading.append((seen, time.perf_counter() - started))
        found += tables
    return Sample(pa.concat_tables(found), Timed.of(reading))


def _draw(sizes: list[int], count: int, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Draw rows. sizes: how many rows of each split pass the filter.

    Returns:
        Index of a split -> int64, ascending: which of its rows that pass the filter were drawn.
    """
    rows = np.array(sizes, np.int64)
    count = min(count, int(rows.sum()))
    if len(sizes) <= SPLITS:
        ends = np.cumsum(rows)
        numbers = np.sort(rng.choice(int(ends[-1]), count, replace=False))
        index = np.searchsorted(ends, numbers, "right")
        return {int(i): numbers[index == i] - (ends[i] - rows[i]) for i in np.unique(index)}
    chosen = np.sort(rng.choice(len(sizes), SPLITS, replace=False, p=rows / rows.sum()))
    share = -(-count // SPLITS)
    return {int(i): np.sort(rng.choice(rows[i], min(share, int(rows[i])), replace=False)) for i in chosen}


def _take(unread: UnreadSplit, plan: ReadPlan, rows: np.ndarray) -> tuple[list[pa.Table], int]:
    """Return these rows of a split, and how many rows were read for them."""
    out, seen = [], 0
    with closing(unread.read(plan)) as reader:  # type: ignore[type-var]
        for window in reader:
            here = rows[(rows >= seen) & (rows < seen + window.num_rows)]
            if len(here):
                out.append(window.take(pa.array(here - seen)))
            seen += window.num_rows
            if seen > rows[-1]:
                break
    return out, seen
