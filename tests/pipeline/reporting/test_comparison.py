"""Two runs compared row by row: the figures are those of numpy and pandas, and only the same rows are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.reporting.comparison import Comparison, compare
from tests.pipeline.reporting.outputs import write_output


def compared(folder: Path, first: dict[str, Any], second: dict[str, Any], **values: Any) -> Comparison:
    a = write_output(folder / "a", first, id="id")
    b = write_output(folder / "b", second, id="id")
    return compare(a, b, StorageConfig(), **values)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_correlations_and_differences(tmp_path: Path, offset: float) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=2000).round(2)  # with ties
    b = (a + rng.normal(size=2000).round(1) + offset).astype(np.float64)
    order = rng.permutation(2000)
    found = compared(
        tmp_path,
        {"row_id": np.arange(2000), "score": a},
        {"row_id": np.arange(2000, dtype=np.int32)[order], "score": b[order]},
    )
    frame = pd.DataFrame({"a": a, "b": b})
    assert (found.rows, found.common, found.compared) == ((2000, 2000), 2000, 2000)
    assert found.pearson == pytest.approx(frame.corr().iloc[0, 1], abs=1e-9)
    assert found.spearman == pytest.approx(frame.rank().corr().iloc[0, 1], abs=1e-9)
    assert found.differences
    inner = np.quantile(b - a, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    assert found.differences.quantiles[1:-1] == pytest.approx(inner)
    assert sum(count for _, _, count in found.density[0]) == 2000
    shift = frame.b.rank() - frame.a.rank()
    rose = [row["second_rank"] - row["first_rank"] for row in found.examples["rose"]]
    assert rose == pytest.approx(sorted(shift, reverse=True)[:8] / np.float64(2000))
    assert found.examples["fell"][0]["row_id"] in set(np.flatnonzero(shift == shift.min()))
    row = found.examples["rose"][0]
    assert (row["first"], row["score"]) == (a[row["row_id"]], b[row["row_id"]])
    assert order[row["row_key"]] == row["row_id"], "the key is that of the second run"


def test_a_threshold(tmp_path: Path) -> None:
    scores = {"row_id": [1, 2, 3, 4, 5], "score": [0.1, 0.2, 0.6, 0.7, 0.5]}
    other = {"row_id": [1, 2, 3, 4, 5], "score": [0.9, 0.1, 0.2, 0.8, 0.5]}
    crossing = compared(tmp_path / "x", scores, other, threshold=0.5).crossing
    assert crossing
    assert (crossing.rose, crossing.fell, crossing.above, crossing.given) == (1, 1, 2, True)
    tenfold = {**other, "score": [9.0, 1.0, 2.0, 8.0, 5.0]}
    crossing = compared(tmp_path / "y", scores, tenfold).crossing
    assert crossing
    assert (crossing.first, crossing.second, crossing.given) == (0.5, 5.0, False)
    assert (crossing.rose, crossing.fell, crossing.above) == (1, 1, 2)


def test_rows_that_are_not_the_same(tmp_path: Path) -> None:
    first = {
        "row_id": ["a", "b", "c", "d", "twice", "twice", None, "e"],
        "score": [1.0, 2.0, None, None, 5.0, 6.0, 7.0, float("nan")],
        "error": [None, None, "image_null", "image_null", None, None, None, None],
    }
    second = {
        "row_id": ["z", "b", "c", "d", "twice", "e"],
        "score": [1.0, 2.5, None, 4.0, 5.0, 3.0],
        "error": [None, None, "text_null", None, None, None],
    }
    found = compared(tmp_path, first, second)
    assert found.rows == (8, 6)
    assert found.ambiguous == (3, 0)
    assert (found.common, found.compared, found.rejected_both) == (4, 1, 1)
    assert found.only == (1, 1), "a row that the other run has twice is in both"
    assert found.only_ids == (["a"], ["z"])
    assert found.rejected_only == ({"image_null": 1}, {})
    assert (found.pearson, found.spearman) == (None, None), "of one row"


def test_rows_with_several_texts(tmp_path: Path) -> None:
    texts = pa.array([0, 1, 0, 1], pa.int32())
    found = compared(
        tmp_path,
        {"row_id": [1, 1, 2, 2], "text_index": texts, "score": [0.1, 0.2, 0.3, 0.4]},
        {"row_id": [2, 2, 1, 1], "text_index": texts, "score": [0.3, 0.4, 0.1, 0.3]},
    )
    assert (found.common, found.compared, found.ambiguous) == (4, 4, (0, 0))
    assert [row["score"] for row in found.examples["rose"]] == [0.3]


def test_answers(tmp_path: Path) -> None:
    ids = {"row_id": [1, 2, 3, 4], "answer_score": [0.5, 0.6, 0.7, 0.8]}
    a = write_output(tmp_path / "a", {**ids, "answer": ["yes", "no", "no", "2"]}, ["answer"], id="id")
    b = write_output(tmp_path / "b", {**ids, "answer": ["yes", "yes", "yes", "3"]}, ["answer"], id="id")
    found = compare(a, b, StorageConfig())
    assert (found.answered, found.same_answers) == (4, 1)
    assert found.changes == [("no", "yes", 2), ("2", "3", 1)]
    assert (found.spearman, found.examples) == (pytest.approx(1), {"rose": [], "fell": []})


def test_constant_scores(tmp_path: Path) -> None:
    found = compared(tmp_path, {"row_id": [1, 2], "score": [1.0, 1.0]}, {"row_id": [1, 2], "score": [1.0, 2.0]})
    assert (found.pearson, found.spearman) == (None, None)
    assert found.differences


def test_ids_that_are_hashes(tmp_path: Path) -> None:
    """Without ids of the user's own, a row is known by its file and number: the files must be the same."""
    scores = {"row_id": [1, 2], "score": [1.0, 2.0]}
    same = [write_output(tmp_path / name, scores) for name in "ab"]
    assert compare(*same, StorageConfig()).common == 2
    other = write_output(tmp_path / "c", scores, input_hash="other")
    with pytest.raises(ConfigError, match="made from different inputs, or from other versions of their files"):
        compare(same[0], other, StorageConfig())
    ids = [write_output(tmp_path / name, scores, input_hash=name, id="id") for name in "de"]
    assert compare(*ids, StorageConfig()).common == 2, "ids of the user's own tell rows apart over any input"
    with pytest.raises(ConfigError, match=r"made with input\.id=None and .* with input\.id=id"):
        compare(same[0], ids[0], StorageConfig())


@pytest.mark.parametrize(
    ("second", "tasks", "message"),
    [
        ({"row_id": [1], "answer": ["a"], "answer_score": [0.1]}, ["answer"], "has score .* has answer_score"),
        ({"row_id": ["1"], "score": [0.1]}, ["score"], "row_id is int64 in .* and string in"),
        ({"row_id": [1], "text_index": pa.array([0], pa.int32()), "score": [0.1]}, ["score"], "several texts a row"),
        ({"row_id": [9], "score": [0.1]}, ["score"], "have no row in common"),
        ({"score": [0.1]}, ["score"], "no column 'row_id'"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, second: dict[str, Any], tasks: list[str], message: str) -> None:
    a = write_output(tmp_path / "a", {"row_id": [1], "score": [0.1]}, id="id")
    b = write_output(tmp_path / "b", second, tasks, id="id")
    with pytest.raises(ConfigError, match=message) as raised:
        compare(a, b, StorageConfig())
    assert "\n" not in str(raised.value)
    vectors = [write_output(tmp_path / n, {"row_id": [1], "embedding": [[1.0]]}, ["embed"], id="id") for n in "xy"]
    with pytest.raises(ConfigError, match="no scores"):
        compare(*vectors, StorageConfig())


def test_ranks(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct([("text_id", pa.int64()), ("score", pa.float32())]))
    best = [[{"text_id": 7, "score": 3.0}, {"text_id": 8, "score": 1.0}], [{"text_id": 8, "score": 2.0}], None]
    for name, lists in (("a", best), ("b", [best[1], best[1], []])):
        write_output(tmp_path / name, {"row_id": [1, 2, 3], "best_texts": pa.array(lists, kind)}, ["rank"], id="id")
        (tmp_path / name / "images").mkdir()
        (tmp_path / name / "part-0.parquet").rename(tmp_path / name / "images" / "part-0.parquet")
    found = compare(str(tmp_path / "a"), str(tmp_path / "b"), StorageConfig())
    assert (found.common, found.compared, found.answered, found.same_answers) == (3, 2, 2, 1)
    assert found.changes == [("7", "8", 1)]
