"""Describe how the scores of each group of rows are distributed, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.results.distribution import bin_of, quantiles_of

MOST_GROUPS = 24  # that are shown
GROUP_BINS = 32
GROUP_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Group:
    """The rows with one value in the column.

    Attributes:
        name: The value; None for null.
        rows: How many there are.
        rejected: How many have no result.
        quantiles: The scores at `GROUP_QUANTILES`; empty if no row has a score.
        bins: How many rows have a score in each of `GROUP_BINS` equal parts of `Groups.low` to `Groups.high`.
    """

    name: str | None
    rows: int
    rejected: int
    quantiles: list[float]
    bins: list[int]


@dataclass(frozen=True)
class Groups:
    """The groups of the rows of results.

    Attributes:
        column: What they are grouped by.
        groups: The largest, the largest first.
        other_groups: How many more there are.
        other_rows: How many rows these have.
        low: The lowest score of all; None if there is none.
        high: The highest.
    """

    column: str
    groups: list[Group]
    other_groups: int
    other_rows: int
    low: float | None
    high: float | None


def groups_of(database: duckdb.DuckDBPyConnection, source: str, column: str) -> Groups:
    """Return the groups of rows.

    Args:
        database: Holds the rows.
        source: A table with the columns group_value, score and error.
        column: What they are grouped by, for people.
    """
    counted = database.execute(
        f"SELECT group_value, count(*) AS n, count(error) FROM {source} GROUP BY group_value "
        "ORDER BY n DESC, group_value"
    )
    largest = counted.fetchmany(MOST_GROUPS)
    total, every = database.execute(
        f"SELECT count(*), count(DISTINCT group_value) + count_if(group_value IS NULL).least(1) FROM {source}"
    ).fetchall()[0]
    finite = f"(SELECT group_value, score FROM {source} WHERE error IS NULL AND isfinite(score))"
    low, high = database.execute(f"SELECT min(score), max(score) FROM {finite}").fetchall()[0]
    groups = [
        Group(name, rows, rejected, *_scores(database, finite, (name, rows), low, high))
        for name, rows, rejected in largest
    ]
    shown = sum(group.rows for group in groups)
    return Groups(column, groups, every - len(groups), total - shown, low, high)


def _scores(
    database: duckdb.DuckDBPyConnection,
    finite: str,
    group: tuple[str | None, int],
    low: float | None,
    high: float | None,
) -> tuple[list[float], list[int]]:
    """Return the quantiles and the bins of the scores of a group."""
    bins = [0] * GROUP_BINS
    if low is None or high is None:
        return [], bins
    of_group = f"{finite} WHERE group_value IS NOT DISTINCT FROM ?"
    name, rows = group
    query = f"SELECT {quantiles_of('score', GROUP_QUANTILES, rows)} FROM {of_group}"
    quantiles = database.execute(query, [name]).fetchall()[0][0]
    number = bin_of("score", low, high, GROUP_BINS)
    for at, count in database.execute(
        f"SELECT {number} AS bin, count(*) FROM {of_group} GROUP BY bin", [name]
    ).fetchall():
        bins[at] = count
    return quantiles or [], bins
