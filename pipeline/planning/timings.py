"""Timings of a stage, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timings:
    """Pieces of a stage's work.

    Attributes:
        rows: int64 (n,), rows of the input.
        seconds: float64 (n,), what they took.
    """

    rows: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, float]]) -> Timings:
        """Return the timings of pieces (rows, seconds)."""
        pieces = list(pieces)
        return cls(np.array([rows for rows, _ in pieces], np.int64), np.array([s for _, s in pieces], float))

    @property
    def per_row(self) -> float:
        """Return the seconds a row; 0 if no row was timed."""
        return float(self.seconds.sum() / self.rows.sum()) if self.rows.sum() else 0.0

    def scaled(self, factor: float) -> Timings:
        """Return the same pieces, as if each had taken so many times as long."""
        return Timings(self.rows, self.seconds * factor)

    def resampled(self, rng: np.random.Generator) -> Timings:
        """Return as many pieces, drawn with replacement."""
        if not len(self.rows):
            return self
        drawn = rng.integers(len(self.rows), size=len(self.rows))
        return Timings(self.rows[drawn], self.seconds[drawn])
