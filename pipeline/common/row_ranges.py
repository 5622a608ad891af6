"""Sets of rows of the input, kept as ranges: small enough for the footer of a file.

A row key is an int64: the number of the file among the sorted files of the table, times 2**40, plus the row offset in
the file.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

ROW_BITS = 40
MOST_RANGE_BYTES = 2**28  # of the ranges of a file, 16 bytes each


def row_key(file: int, row: int = 0) -> int:
    """Return the key of a row of a file."""
    return file << ROW_BITS | row


@dataclass(frozen=True, eq=False)
class RowSet:
    """A set of row keys.

    Attributes:
        begins: int64 (ranges,), sorted.
        ends: int64 (ranges,); ranges are half open, disjoint, and do not touch.
    """

    begins: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> RowSet:
        """Return the set of these keys, int64 (n,), in any order, with or without duplicates."""
        distinct = np.unique(keys).astype(np.int64)
        breaks = np.flatnonzero(np.diff(distinct) != 1)
        firsts, lasts = np.append(0, breaks + 1), np.append(breaks, len(distinct) - 1)
        return cls(distinct[firsts], distinct[lasts] + 1) if len(distinct) else cls(distinct, distinct)

    @classmethod
    def none(cls) -> RowSet:
        """Return the empty set."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of_range(cls, begin: int, end: int) -> RowSet:
        """Return the rows from `begin` up to, not including, `end`."""
        return cls(np.array([begin] if begin < end else [], np.int64), np.array([end] if begin < end else [], np.int64))

    @classmethod
    def file(cls, file: int, rows: int) -> RowSet:
        """Return all rows of a file."""
        ends = np.array([row_key(file, rows)] if rows else [], np.int64)
        return cls(ends - rows, ends)

    @classmethod
    def union(cls, sets: Iterable[RowSet]) -> RowSet:
        """Return the rows that are in any of `sets`."""
        every = [s for s in sets if len(s.begins)]
        if not every:
            return cls.none()
        begins, ends = (np.concatenate([getattr(s, side) for s in every]) for side in ("begins", "ends"))
        order = np.argsort(begins, kind="stable")
        begins, reach = begins[order], np.maximum.accumulate(ends[order])
        opens = np.append(True, begins[1:] > reach[:-1])  # where a range begins beyond all before it, touching none
        return cls(begins[opens], np.append(reach[np.flatnonzero(opens)[1:] - 1], reach[-1]))

    def __len__(self) -> int:
        return int((self.ends - self.begins).sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowSet):
            return NotImplemented
        return np.array_equal(self.begins, other.begins) and np.array_equal(self.ends, other.ends)

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """Yield (file, first row, row after the last) of every range."""
        for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True):
            yield begin >> ROW_BITS, begin & (1 << ROW_BITS) - 1, end - (begin >> ROW_BITS << ROW_BITS)

    def keys(self) -> np.ndarray:
        """Return all keys of the set, int64 (n,), in order."""
        parts = [np.arange(begin, end) for begin, end in zip(self.begins, self.ends, strict=True)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def contains(self, keys: np.ndarray) -> np.ndarray:
        """Return which of these keys, int64 (n,), are in the set: bool (n,)."""
        if not len(self.begins):
            return np.zeros(len(keys), bool)
        at = np.searchsorted(self.begins, keys, "right") - 1
        return (at >= 0) & (keys < self.ends[at])

    def minus(self, other: RowSet) -> RowSet:
        """Return the rows that are in this set and not in `other`."""
        edges = np.unique(np.concatenate([self.begins, self.ends, other.begins, other.ends]))
        begins, ends = edges[:-1], edges[1:]
        here = self.contains(begins) & ~other.contains(begins)
        return RowSet.union([RowSet(begins[here], ends[here])])

    def between(self, begin: int, end: int) -> RowSet:
        """Return the rows of the set from `begin` up to, not including, `end`."""
        begins, ends = self.begins.clip(begin, end), self.ends.clip(begin, end)
        return RowSet(begins[begins < ends], ends[begins < ends])

    def counts_between(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return how many rows of the set are in each of many ranges, int64 (n,).

        Args:
            begins: int64 (n,).
            ends: int64 (n,), not included.
        """
        if not len(self.begins):
            return np.zeros(len(begins), np.int64)
        before = np.append(0, np.cumsum(self.ends - self.begins))

        def below(keys: np.ndarray) -> np.ndarray:
            at = np.searchsorted(self.begins, keys, "right") - 1
            inside = np.minimum(keys, self.ends[at]) - self.begins[at]
            return np.where(at < 0, 0, before[at] + inside)

        return below(ends) - below(begins)

    def encode(self) -> str:
        """Encode the set as text: the gaps and lengths of the ranges, compressed."""
        steps = np.diff(np.column_stack([self.begins, self.ends]).ravel(), prepend=0)
        return base64.b64encode(zlib.compress(steps.astype("<i8").tobytes(), 9)).decode()

    @classmethod
    def decode(cls, text: str) -> RowSet:
        """Decode what `encode` wrote. Raises ValueError if it is damaged, or unfolds to more than any file has."""
        unfold = zlib.decompressobj()
        try:
            data = unfold.decompress(base64.b64decode(text), MOST_RANGE_BYTES)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if not unfold.eof:
            raise ValueError("cut off, or more ranges of rows than a file has")
        steps = np.frombuffer(data, "<i8")
        edges = np.cumsum(steps).astype(np.int64).reshape(-1, 2)
        return cls(edges[:, 0], edges[:, 1])
