"""Compare the results of two runs row by row: two models, two days."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb

from pipeline.common.columns import ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import shown_key
from pipeline.config.storage import StorageConfig
from pipeline.reporting.runs import Run, check_comparable, open_run
from pipeline.results.distribution import Distribution, bin_of, distribution
from pipeline.results.loading import common_values, load_rows
from pipeline.tables.database import temporary_database

EXAMPLES = 8  # of each kind of change
SOME_IDS = 5  # of rows that only one run has
MOST_CHANGES = 20  # of answers
DENSITY_BINS = 32
MOST_REASONS = 40
CHANGES = ("rose", "fell")


@dataclass(frozen=True)
class Crossing:
    """The rows on different sides of a threshold.

    Attributes:
        first: The threshold for the first run's scores.
        second: That for the second's.
        rose: Rows below it in the first run alone.
        fell: Rows below it in the second run alone.
        above: Rows that are not below it in either run.
        given: Whether it was asked for; else it is each run's own median.
    """

    first: float
    second: float
    rose: int
    fell: int
    above: int
    given: bool


@dataclass
class Comparison:
    """Rows, scores and answers of two runs, as far as they agree and differ.

    Rows are those of the results: a row of the input with several texts has several.

    Attributes:
        runs: The two.
        rows: Rows of each.
        common: Rows that both have.
        only: Rows that one has alone.
        only_ids: Some ids of these.
        ambiguous: Rows of each whose id (and text) several rows have, or that have none: they are not compared.
        rejected_only: Rows of both that one run alone has rejected: reason -> rows, for each run.
        rejected_both: Rows that both have rejected.
        compared: Rows with a score in both.
        pearson: Correlation of the scores; None if it is not defined.
        spearman: Correlation of their ranks; None if it is not defined.
        differences: How second minus first is distributed; None if there is nothing to compare.
        density: See `pipeline.reporting.figures.density`: pairs of bins with rows, and the ranges of both scores.
        crossing: Rows that cross a threshold.
        answered: Rows with an answer in both.
        same_answers: How many of them have the same.
        changes: (answer of the first, of the second, rows), the most frequent first.
        examples: "rose", "fell" -> rows by row_id, row_key (in the second run) and scores, the largest change of rank
            first.
    """

    runs: tuple[Run, Run]
    rows: tuple[int, int] = (0, 0)
    common: int = 0
    only: tuple[int, int] = (0, 0)
    only_ids: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    ambiguous: tuple[int, int] = (0, 0)
    rejected_only: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    rejected_both: int = 0
    compared: int = 0
    pearson: float | None = None
    spearman: float | None = None
    differences: Distribution | None = None
    density: tuple[list[tuple[int, int, int]], list[float]] = field(default_factory=lambda: ([], []))
    crossing: Crossing | None = None
    answered: int = 0
    same_answers: int = 0
    changes: list[tuple[str, str, int]] = field(default_factory=list)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def crossing_share(self) -> float | None:
        """Return the share of the rows with both scores that cross the threshold; None if there are none."""
        return (self.crossing.rose + self.crossing.fell) / self.compared if self.crossing else None


def compare(first: str, second: str, storage: StorageConfig, threshold: float | None = None) -> Comparison:
    """Compare two outputs of finished jobs.

    Rows are joined by their ids, and by the index of the text if rows have several, in a database on disk.

    Args:
        first: The output folder of the earlier run, or of the model that is known.
        second: That of the other.
        storage: How to reach them.
        threshold: The score whose crossing is counted; default: each run's own median.

    Raises:
        ConfigError: One is no output of a finished job, or their rows cannot be told to be the same.
    """
    runs = (open_run(first, storage), open_run(second, storage))
    check_comparable(*runs)
    found = Comparison(runs)
    with temporary_database() as database, _helpful():
        for name, run in zip("ab", runs, strict=True):
            load_rows(database, f"{name}_rows", run.table, [*common_values(run.table.schema), *run.outcomes.values])
        _join(found, database)
        _count(found, database)
        _compare_scores(found, database, threshold)
        _compare_answers(found, database)
    return found


@contextmanager
def _helpful() -> Iterator[None]:
    """While it is open, raise what DuckDB cannot do for want of disk as ConfigError."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise ConfigError(
            f"not enough room in the temporary folder to compare these runs ({str(error).splitlines()[0][:200]}); "
            "set TMPDIR to a folder on a larger disk"
        ) from None


def _join(found: Comparison, database: duckdb.DuckDBPyConnection) -> None:
    """Make the table `joined` of the rows with the same id and text, and count the others."""
    total, ambiguous, only, ids = [], [], [], list[list[Any]]()
    has_texts = TEXT_INDEX in found.runs[0].table.schema.names
    text = f"coalesce({TEXT_INDEX}, -1)" if has_texts else "-1"
    for name, run in zip("ab", found.runs, strict=True):
        score = "score" if run.outcomes.score else "NULL::DOUBLE"
        answer = "answer" if run.outcomes.answer else "NULL::VARCHAR"
        total.append(_number(database, f"SELECT count(*) FROM {name}_rows"))
        database.execute(
            f"CREATE TABLE {name} AS SELECT row_id, {text} AS text, any_value(row_key) AS row_key, "
            f"any_value({score}) AS score, any_value({answer}) AS answer, any_value(error) AS error FROM {name}_rows "
            "WHERE row_id IS NOT NULL GROUP BY ALL HAVING count(*) = 1"
        )
        ambiguous.append(total[-1] - _number(database, f"SELECT count(*) FROM {name}"))
    database.execute(
        "CREATE TABLE joined AS SELECT a.row_id, a.text, b.row_key, a.score AS first, b.score AS second, "
        "a.answer AS answer_a, b.answer AS answer_b, a.error AS error_a, b.error AS error_b "
        "FROM a JOIN b ON a.row_id = b.row_id AND a.text = b.text"
    )
    found.common = _number(database, "SELECT count(*) FROM joined")
    for name, other, run in (("a", "b", found.runs[0]), ("b", "a", found.runs[1])):
        # A row that the other run has several times is not one that it does not have.
        absent = f"FROM {name} ANTI JOIN {other}_rows AS o ON {name}.row_id = o.row_id AND {name}.text = {text}"
        only.append(_number(database, f"SELECT count(*) {absent}"))
        some = f"SELECT DISTINCT {name}.row_id {absent} ORDER BY 1 LIMIT {SOME_IDS}"
        ids.append([shown_key(key, run.id_type) for (key,) in database.execute(some).fetchall()])
    found.rows, found.ambiguous, found.only = (total[0], total[1]), (ambiguous[0], ambiguous[1]), (only[0], only[1])
    found.only_ids = (ids[0], ids[1])
    if not found.common:
        raise ConfigError(
            f"{found.runs[0].uri!r} and {found.runs[1].uri!r} have no row in common, by their ids: name two runs over "
            "the same table"
        )


def _count(found: Comparison, database: duckdb.DuckDBPyConnection) -> None:
    """Count the rows that one run or both have rejected."""
    reasons = []
    for mine, other in (("error_a", "error_b"), ("error_b", "error_a")):
        counted = database.execute(
            f"SELECT {mine}, count(*) AS n FROM joined WHERE {mine} IS NOT NULL AND {other} IS NULL "
            f"GROUP BY {mine} ORDER BY n DESC, {mine} LIMIT {MOST_REASONS}"
        )
        reasons.append(dict(counted.fetchall()))
    found.rejected_only = (reasons[0], reasons[1])
    found.rejected_both = _number(
        database, "SELECT count(*) FROM joined WHERE error_a IS NOT NULL AND error_b IS NOT NULL"
    )


def _compare_scores(found: Comparison, database: duckdb.DuckDBPyConnection, threshold: float | None) -> None:
    """Fill in all that follows from the scores that both runs have."""
    database.execute(
        "CREATE TABLE pairs AS SELECT * FROM joined "
        "WHERE error_a IS NULL AND error_b IS NULL AND isfinite(first) AND isfinite(second)"
    )
    found.compared = _number(database, "SELECT count(*) FROM pairs")
    if not found.compared:
        return
    for name in ("first", "second"):  # of equal scores all have the mean of their ranks
        database.execute(
            f"CREATE TABLE {name}_ranks AS "
            "SELECT score, (sum(n) OVER (ORDER BY score) - (n - 1) / 2.0)::DOUBLE AS rank "
            f"FROM (SELECT {name} AS score, count(*) AS n FROM pairs GROUP BY {name})"
        )
    database.execute(
        "CREATE TABLE ranked AS SELECT pairs.*, x.rank AS first_rank, y.rank AS second_rank FROM pairs "
        "JOIN first_ranks x ON x.score = pairs.first JOIN second_ranks y ON y.score = pairs.second"
    )
    found.pearson = _correlation(database, "first", "second")
    found.spearman = _correlation(database, "first_rank", "second_rank")
    found.differences = distribution(database, "(SELECT second - first AS score, true AS kept FROM pairs)")
    found.density = _density(database)
    found.crossing = _crossing(database, threshold)
    for kind, order in zip(CHANGES, ("DESC", "ASC"), strict=True):
        found.examples[kind] = _changed(found, database, order)


def _correlation(database: duckdb.DuckDBPyConnection, first: str, second: str) -> float | None:
    """Return a correlation; None if one side is constant, or there are fewer than two rows."""
    spread = f"SELECT min({first}) < max({first}) AND min({second}) < max({second}) FROM ranked"
    if not database.execute(spread).fetchall()[0][0]:
        return None
    # Centred first: far from 0, the sums of squares would lose the digits that matter.
    value: float = database.execute(
        f"SELECT corr({first} - m, {second} - n) FROM ranked, "
        f"(SELECT avg({first}) AS m, avg({second}) AS n FROM ranked)"
    ).fetchall()[0][0]
    return max(-1.0, min(1.0, value))


def _density(database: duckdb.DuckDBPyConnection) -> tuple[list[tuple[int, int, int]], list[float]]:
    """Return how many rows have which pair of scores, in bins."""
    low_a, high_a, low_b, high_b = database.execute(
        "SELECT min(first), max(first), min(second), max(second) FROM pairs"
    ).fetchall()[0]
    x, y = bin_of("first", low_a, high_a, DENSITY_BINS), bin_of("second", low_b, high_b, DENSITY_BINS)
    counted = database.execute(f"SELECT {x} AS x, {y} AS y, count(*) FROM pairs GROUP BY x, y ORDER BY x, y")
    return counted.fetchall(), [low_a, high_a, low_b, high_b]


def _crossing(database: duckdb.DuckDBPyConnection, threshold: float | None) -> Crossing:
    """Count the rows on different sides of a threshold."""
    first, second = threshold, threshold
    if threshold is None:
        half = "(SELECT count(*) + 1 FROM pairs) / 2"
        first, second = database.execute(
            f"SELECT (SELECT min(first) FROM ranked WHERE first_rank >= {half}), "
            f"(SELECT min(second) FROM ranked WHERE second_rank >= {half})"
        ).fetchall()[0]
    assert first is not None
    assert second is not None
    rose, fell, above = database.execute(
        "SELECT count_if(first < $x AND second >= $y), count_if(first >= $x AND second < $y), "
        "count_if(first >= $x AND second >= $y) FROM pairs",
        {"x": first, "y": second},
    ).fetchall()[0]
    return Crossing(first, second, rose, fell, above, threshold is not None)


def _changed(found: Comparison, database: duckdb.DuckDBPyConnection, order: str) -> list[dict[str, Any]]:
    """Return the rows whose rank has changed most; of equal changes of rank those of score."""
    sign = ">" if order == "DESC" else "<"
    rows = database.execute(
        "SELECT row_id, row_key, first, second, first_rank / $n, second_rank / $n FROM ranked "
        f"WHERE second_rank {sign} first_rank OR (second_rank = first_rank AND second {sign} first) "
        f"ORDER BY second_rank - first_rank {order}, second - first {order}, row_id, text LIMIT {EXAMPLES}",
        {"n": float(found.compared)},
    ).fetchall()
    names = ("row_key", "first", "score", "first_rank", "second_rank")
    kind = found.runs[1].id_type
    return [{ROW_ID: shown_key(key, kind), **dict(zip(names, rest, strict=True))} for key, *rest in rows]


def _compare_answers(found: Comparison, database: duckdb.DuckDBPyConnection) -> None:
    """Count the answers that are the same, and the most frequent changes."""
    good = "FROM joined WHERE error_a IS NULL AND error_b IS NULL AND answer_a IS NOT NULL AND answer_b IS NOT NULL"
    found.answered, found.same_answers = database.execute(
        f"SELECT count(*), coalesce(count_if(answer_a = answer_b), 0) {good}"
    ).fetchall()[0]
    found.changes = database.execute(
        f"SELECT answer_a, answer_b, count(*) AS n {good} AND answer_a <> answer_b "
        f"GROUP BY answer_a, answer_b ORDER BY n DESC, answer_a, answer_b LIMIT {MOST_CHANGES}"
    ).fetchall()


def _number(database: duckdb.DuckDBPyConnection, query: str) -> int:
    value: int = database.execute(query).fetchall()[0][0]
    return value
