"""Describe how scores are distributed, and choose the rows that show it best, from a table in DuckDB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.common.errors import ConfigError

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
BINS = 40
EXACT_ROWS = 2**20  # of so many rows the quantiles are exact; the approximation is wrong for few rows, fit for many
EXAMPLES = 8  # of each kind


@dataclass(frozen=True)
class Distribution:
    """How the scores of some rows are distributed.

    Attributes:
        rows: How many rows have a score.
        quantiles: The scores at `QUANTILES`; of more rows than `EXACT_ROWS` approximate, but for the first and last.
        edges: The edges of the bins: BINS + 1 scores.
        kept: How many rows of each bin are kept.
        dropped: How many are not.
    """

    rows: int
    quantiles: list[float]
    edges: list[float]
    kept: list[int]
    dropped: list[int]

    @property
    def median(self) -> float:
        """Return the score in the middle."""
        return self.quantiles[len(QUANTILES) // 2]


def quantile_names() -> list[str]:
    """Return the names of the quantiles of a distribution: least, 1%, ..., most."""
    return ["least", *(f"{share:.0%}" for share in QUANTILES[1:-1]), "most"]


def distribution(database: duckdb.DuckDBPyConnection, source: str) -> Distribution | None:
    """Return the distribution of scores; None if no row has a finite one.

    Args:
        database: Holds the rows.
        source: A relation in SQL with the columns score and kept (bool).
    """
    finite = f"(SELECT score::DOUBLE AS score, kept FROM {source} WHERE isfinite(score))"
    rows, low, high = database.execute(f"SELECT count(*), min(score), max(score) FROM {finite}").fetchall()[0]
    if not rows:
        return None
    quantiles = database.execute(f"SELECT {quantiles_of('score', QUANTILES[1:-1], rows)} FROM {finite}").fetchall()[0][
        0
    ]
    width = (high - low) / BINS or 1 / BINS
    bins = database.execute(
        f"SELECT {bin_of('score', low, high, BINS)} AS bin, kept, count(*) FROM {finite} GROUP BY ALL"
    ).fetchall()
    counts = {True: [0] * BINS, False: [0] * BINS}
    for number, kept, count in bins:
        counts[kept][number] += count
    quantiles = [min(max(value, low), high) for value in quantiles]
    return Distribution(
        rows, [low, *quantiles, high], [low + width * i for i in range(BINS + 1)], counts[True], counts[False]
    )


def quantiles_of(column: str, shares: Sequence[float], rows: int) -> str:
    """Return the SQL expression for the quantiles of a column of `rows` rows at these shares, a list."""
    function = "quantile_cont" if rows <= EXACT_ROWS else "approx_quantile"
    return f"{function}({column}, [{', '.join(map(str, shares))}])"


def bin_of(column: str, low: float, high: float, bins: int) -> str:
    """Return the SQL expression for the number of the bin, of `bins` equal ones from `low` to `high`, of a value."""
    if not math.isfinite(high - low):
        raise ConfigError(f"OUT: scores from {low!r} to {high!r} are none that a job writes")
    width = (high - low) / bins or 1.0  # if all are equal, they are in the first
    return f"least(floor(({column} - {low!r}) / {width!r}), {bins - 1})::INTEGER"


def examples(
    database: duckdb.DuckDBPyConnection, source: str, columns: str, middle: float
) -> dict[str, list[dict[str, Any]]]:
    """Return some rows of each kind: best, near (to the score `middle`), worst, and random, the same in every run.

    Args:
        database: Holds the rows.
        source: A relation in SQL with the columns row_id and score.
        columns: The columns to return, as SQL writes them.
        middle: A score.
    """
    orders = {
        "best": "score DESC, row_id",
        "near": f"abs(score - {middle!r}), row_id",
        "worst": "score, row_id",
        "random": "hash(row_id), row_id",
    }
    out = {}
    for kind, order in orders.items():
        found = database.execute(
            f"SELECT {columns} FROM {source} WHERE isfinite(score) ORDER BY {order} LIMIT {EXAMPLES}"
        )
        names = [column[0] for column in found.description or ()]
        out[kind] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return out
