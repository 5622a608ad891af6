"""How scores are distributed, and the rows that show it."""

from __future__ import annotations

import math

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.results.distribution import BINS, EXAMPLES, QUANTILES, Distribution, distribution, examples

NUMBERS = st.floats(-1000, 1000, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])
SCORES = st.lists(st.tuples(NUMBERS, st.booleans()), max_size=30)


def of(rows: list[tuple[float | None, bool]], kind: str = "float32") -> Distribution | None:
    table = pa.table(
        {
            "score": pa.array([s for s, _ in rows], pa.type_for_alias(kind)),
            "kept": pa.array([k for _, k in rows], pa.bool_()),
        }
    )
    database = duckdb.connect()
    database.register("rows", table)
    return distribution(database, "rows")


@settings(max_examples=20)
@given(SCORES)
def test_every_finite_score_is_in_one_bin(rows: list[tuple[float, bool]]) -> None:
    finite = [(score, kept) for score, kept in rows if math.isfinite(score)]
    found = of([*rows, (None, True)])
    if not finite:
        assert found is None
        return
    assert found is not None
    scores = sorted(score for score, _ in finite)
    assert found.rows == len(finite) == sum(found.kept) + sum(found.dropped)
    assert sum(found.kept) == sum(kept for _, kept in finite)
    assert (len(found.kept), len(found.dropped), len(found.edges)) == (BINS, BINS, BINS + 1)
    assert found.edges[0] == scores[0]
    assert found.edges[-1] > scores[0]
    if len(set(scores)) > 1:
        assert found.edges[-1] == pytest.approx(scores[-1], rel=1e-9, abs=1e-9 * (scores[-1] - scores[0]))
    assert len(found.quantiles) == len(QUANTILES)
    assert (found.quantiles[0], found.quantiles[-1]) == (scores[0], scores[-1])
    assert all(scores[0] <= value <= scores[-1] for value in found.quantiles)
    assert found.median == found.quantiles[4]


def test_bins() -> None:
    found = of([(0.0, True), (0.024, False), (0.026, True), (1.0, True)], "float64")
    assert found is not None
    assert (found.kept[0], found.dropped[0], found.kept[1], found.kept[-1]) == (1, 1, 1, 1)
    assert found.edges[1] == pytest.approx(0.025)


def test_scores_that_are_all_one() -> None:
    found = of([(2.5, True), (2.5, False)])
    assert found is not None
    assert (found.kept[0], found.dropped[0], found.quantiles) == (1, 1, [2.5] * len(QUANTILES))
    assert found.edges[-1] > 2.5


def test_examples_are_the_same_in_every_run() -> None:
    scores = [float((7 * i) % 50) for i in range(50)] + [math.nan, None]
    table = pa.table({"row_id": range(52), "score": scores})
    database = duckdb.connect()
    database.register("rows", table)
    found = examples(database, "rows", "row_id, score AS s", 20.0)
    assert list(found) == ["best", "near", "worst", "random"]
    assert all(len(rows) == EXAMPLES and set(rows[0]) == {"row_id", "s"} for rows in found.values())
    assert [row["s"] for row in found["best"]] == [float(s) for s in range(49, 49 - EXAMPLES, -1)]
    assert [row["s"] for row in found["worst"]] == [float(s) for s in range(EXAMPLES)]
    assert {row["s"] for row in found["near"]} >= {20.0, 19.0, 21.0}
    database.register("again", table.take(list(reversed(range(52)))))
    assert examples(database, "again", "row_id, score AS s", 20.0) == found


def test_ties_are_in_the_order_of_rows() -> None:
    database = duckdb.connect()
    database.register("rows", pa.table({"row_id": [3, 1, 2], "score": [1.0, 1.0, 1.0]}))
    found = examples(database, "rows", "row_id", 0.0)
    assert all([row["row_id"] for row in found[kind]] == [1, 2, 3] for kind in ("best", "near", "worst"))
