"""Which rows are kept: the same as a few lines of Python decide, for any scores, texts, groups and conditions."""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.config.filter import KeepConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.selection import Selection
from pipeline.results.reader import Results, open_results

SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("text_index", pa.int32()),
        ("score", pa.float32()),
        ("answer", pa.string()),
        ("source", pa.string()),
        ("error", pa.string()),
    ]
)
Rows = list[dict[str, Any]]


def write(folder: Path, rows: Rows) -> Results:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "part-0.parquet")
    return open_results(str(folder), "scores", StorageConfig())


def table_of(ids: list[int]) -> list[pa.Table]:
    """A table whose rows, in order, have these ids."""
    return [pa.table({"__row_key": pa.array(range(len(ids)), pa.int64()), "row_id": pa.array(ids, pa.int64())})]


def verdicts(results: Results, ids: list[int], **keep: Any) -> dict[int, str | None]:
    """row_id -> why it is dropped; None where it is kept."""
    with Selection() as selection:
        selection.add_rows(table_of(ids))
        selection.decide(KeepConfig.checked(keep), results)
        places, kept, dropped = selection.verdicts(0, len(ids))
        out = {ids[place]: None for place in places} | {r["row_id"]: r["reason"] for r in dropped.to_pylist()}
        assert len(places) + dropped.num_rows == len(ids) == len(out)
        assert sum(selection.counts().values()) == dropped.num_rows
        assert (kept.schema, dropped.schema) == (selection.score_schema, selection.dropped_schema)
        assert kept["row_id"].to_pylist() == [ids[place] for place in places]
    return out


def result(row_id: int, score: float | None, **others: Any) -> dict[str, Any]:
    return {"row_id": row_id, "score": score, **others}


SCORES = st.sampled_from([-1.5, 0.0, 0.1, 0.3, 0.7, 2.0, math.inf, math.nan])
TEXTS = st.lists(st.tuples(SCORES, st.sampled_from([None, None, None, "text_null"])), min_size=1, max_size=3)
SHARES = st.one_of(st.sampled_from([0.1, 0.29, 0.3, 0.145, 0.5, 1.0]), st.floats(0.001, 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(TEXTS, st.sampled_from(["a", "b", None])), min_size=1, max_size=12),
    top=SHARES,
    lowest=st.sampled_from([None, 0.0, 0.1, 0.7]),
    by=st.booleans(),
    texts=st.sampled_from(["best", "worst", "mean"]),
)
def test_the_selection_is_exact(
    tmp_path: Path, rows: Any, top: float, lowest: float | None, by: bool, texts: str
) -> None:
    ids = [7 * i % 13 for i in range(len(rows))]
    out = [
        result(row_id, None if error else score, text_index=i, source=source, error=error)
        for row_id, (some, source) in zip(ids, rows, strict=True)
        for i, (score, error) in enumerate(some)
    ]
    keep = {"top": top, "texts": texts, **({"by": "source"} if by else {})}
    if lowest is not None:
        keep["min_score"] = lowest
    found = verdicts(write(tmp_path / "results", out), ids, **keep)
    best = {"best": max, "worst": min, "mean": lambda s: float(np.float32(math.fsum(s) / len(s)))}[texts]
    groups: dict[Any, list[tuple[float, int]]] = defaultdict(list)
    for row_id, (some, source) in zip(ids, rows, strict=True):
        whole = [float(np.float32(score)) for score, error in some if not error]
        real = [score for score in whole if not math.isnan(score)]
        if texts == "worst" and len(real) < len(whole):  # not a number is worse than any
            real = []
        if real:
            groups[source if by else None].append((-best(real), row_id))
    expected = set()
    for group in groups.values():
        most = int((Decimal(repr(top)) * len(group)).quantize(Decimal(1), ROUND_HALF_UP))
        expected |= {row_id for score, row_id in sorted(group)[:most] if lowest is None or -score >= np.float32(lowest)}
    assert {row_id for row_id, reason in found.items() if reason is None} == expected


def test_reasons(tmp_path: Path) -> None:
    out = [
        result(1, 0.9, answer="no"),
        result(2, 0.2, answer="no"),
        result(3, 0.8, answer="yes"),
        result(4, None, error="image_null"),
        result(5, math.nan, answer="no"),
        result(6, 0.6, answer="no", source="ads"),
        result(7, 0.7, answer="no"),
    ]
    keep = {"answer": False, "where": "source is distinct from 'ads' -- no ads", "min_score": 0.3, "top": 0.5}
    assert verdicts(write(tmp_path, out), [1, 2, 3, 4, 5, 6, 7], **keep) == {
        1: None,
        2: "score below 0.3",
        3: "answer is not no",
        4: "error: image_null",
        5: "no score",
        6: "where",
        7: None,
    }


def test_a_text_must_meet_the_condition_that_counts(tmp_path: Path) -> None:
    out = [
        *(result(1, score, text_index=i, answer=answer) for i, (score, answer) in enumerate([(0.9, "a"), (0.1, "b")])),
        *(result(2, score, text_index=i, answer=answer) for i, (score, answer) in enumerate([(0.2, "a"), (0.2, "b")])),
        *(result(3, score, text_index=i, answer="a") for i, score in enumerate([0.3, None])),
    ]
    out[-1]["error"] = "text_null"
    results = write(tmp_path, out)
    kept = {
        texts: [i for i, reason in verdicts(results, [1, 2, 3], answer="a", texts=texts).items() if reason is None]
        for texts in ("best", "worst", "mean")
    }
    assert kept == {"best": [1, 2, 3], "worst": [2, 3], "mean": [3]}


@pytest.mark.parametrize(
    ("scored", "ids", "message"),
    [
        ([1, 2, 2, 3, 3], [1, 2, 3], r"scores: .* holds several results of 2 row ids \(as 2, 3\): of two jobs"),
        ([1, 2, 8, 9], [1, 2], r"scores: .* is of another table: 2 row ids \(as 8, 9\) are not in the input"),
        ([1], [1, 5, 4, 3, 2], r"scores: .* it has no result of 4 row ids \(as 2, 3, 4\)"),
        ([1, 2], [1, 2, 2], r"input\.id: 1 row id \(as 2\) stand in several rows"),
    ],
)
def test_results_that_are_not_of_the_table(tmp_path: Path, scored: list[int], ids: list[int], message: str) -> None:
    results = write(tmp_path, [result(row_id, 0.5) for row_id in scored])
    with pytest.raises(ConfigError, match=message):
        verdicts(results, ids, top=0.5)
