"""A sample of a table: rows drawn at random from some of its pieces, read with the job's own reader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.common.row_ranges import Places
from pipeline.config.job import JobConfig
from pipeline.tables.datasource import Piece, Unread, Wanted
from pipeline.tables.table import InputTable, wanted

PIECES = 32  # of the table, that are read at most: each up to its last drawn row
READ_ROWS = 256  # at a time


@dataclass(frozen=True)
class Timed:
    """A part of the work that was timed: float64 (n,) seconds, and int64 (n,) rows of the input that they took."""

    rows: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, pairs: list[tuple[int, float]]) -> Timed:
        """Of (rows, seconds)."""
        return cls(np.array([rows for rows, _ in pairs], np.int64), np.array([s for _, s in pairs], float))

    @property
    def per_row(self) -> float:
        """Seconds; 0 where no row was timed."""
        return float(self.seconds.sum() / self.rows.sum()) if self.rows.sum() else 0.0


@dataclass(frozen=True)
class Sample:
    """rows: as the reader gives them, in the order of the table. reading: what it took to get them, piece by piece."""

    rows: pa.Table
    reading: Timed

    def windows(self, size: int) -> Iterator[pa.Table]:
        """The rows in windows, as the job has them."""
        for first in range(0, self.rows.num_rows, size):
            yield self.rows.slice(first, size)


def draw_sample(table: InputTable, config: JobConfig, count: int, seed: int) -> Sample:
    """`count` rows, or all where there are fewer.

    Up to `PIECES` row groups, or files of rows, are drawn, each as likely as it has rows, and the same number of rows
    from each; where the table has no more pieces, rows are drawn from all. Raises OSError naming the file.
    """
    pieces = [
        (number, file.found, piece) for number, file in enumerate(table.files) for piece in file.pieces if piece.rows
    ]
    drawn = _draw([piece for _, _, piece in pieces], count, np.random.default_rng(seed))
    spec = wanted(table, min(READ_ROWS, config.batch.window_rows))
    found, reading = [], []
    for place, rows in drawn.items():
        number, file, piece = pieces[place]
        started = time.perf_counter()
        tables, seen = _take(Unread(number, file, piece, Places.none()), spec, rows)
        reading.append((seen, time.perf_counter() - started))
        found += tables
    return Sample(pa.concat_tables(found), Timed.of(reading))


def _draw(pieces: list[Piece], count: int, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Place of a piece -> int64, ascending: which of its rows that pass the filter were drawn."""
    rows = np.array([piece.rows for piece in pieces], np.int64)
    count = min(count, int(rows.sum()))
    if len(pieces) <= PIECES:
        ends = np.cumsum(rows)
        numbers = np.sort(rng.choice(int(ends[-1]), count, replace=False))
        place = np.searchsorted(ends, numbers, "right")
        return {int(p): numbers[place == p] - (ends[p] - rows[p]) for p in np.unique(place)}
    chosen = np.sort(rng.choice(len(pieces), PIECES, replace=False, p=rows / rows.sum()))
    share = -(-count // PIECES)
    return {int(p): np.sort(rng.choice(rows[p], min(share, int(rows[p])), replace=False)) for p in chosen}


def _take(unread: Unread, spec: Wanted, rows: np.ndarray) -> tuple[list[pa.Table], int]:
    """These rows of a piece, and how many were read for them."""
    out, seen = [], 0
    reader = unread.read(spec)
    for window in reader:
        own = rows[(rows >= seen) & (rows < seen + window.num_rows)]
        if len(own):
            out.append(window.take(pa.array(own - seen)))
        seen += window.num_rows
        if seen > rows[-1]:
            break
    reader.close()  # type: ignore[attr-defined]
    return out, seen
