"""Thresholds from labelled rows: shares, intervals, the proposal, and labels that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.common.errors import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.calibration import Calibration, calibrate, wilson
from pipeline.filtering.filter_table import filter_table
from tests.pipeline.evaluation.scored_output import write_output
from tests.pipeline.filtering.test_filter_tars import write_shards


def measure(out: str, labels: str, precision: float = 0.9) -> Calibration:
    return calibrate(out, labels, StorageConfig(), precision)


def label(path: Path, lines: list[str], header: str = "row_id,good") -> str:
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962), (10, 10, 0.7225, 1.0), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(count: int, total: int, low: float, high: float) -> None:
    found = wilson(count, total)
    assert found
    assert (found.value, found.low, found.high) == (
        count / total,
        pytest.approx(low, abs=2e-4),
        pytest.approx(high, abs=2e-4),
    )
    assert wilson(0, 0) is None


def test_what_each_threshold_keeps(tmp_path: Path) -> None:
    """100 rows with scores 0 to 99; of the labelled ones, all from 60 on are good."""
    out = write_output(tmp_path / "out", row_id=pa.array(range(100)), score=pa.array(np.arange(100), pa.float32()))
    labels = label(tmp_path / "labels.csv", [f"{i},{int(i >= 60)}" for i in range(0, 100, 2)])
    found = measure(out, labels, precision=0.8)
    assert (found.rows, found.labelled, found.good, found.unlabelled, found.auc) == (100, 50, 20, 0, 1.0)
    assert len(found.cuts) > 5
    for cut in found.cuts:
        kept = [i for i in range(0, 100, 2) if i >= cut.min_score]
        good = [i for i in kept if i >= 60]
        assert cut.kept == sum(i >= cut.min_score for i in range(100)) / 100
        assert cut.labelled == len(kept)
        assert cut.precision
        assert cut.recall
        assert (cut.precision.value, cut.recall.value) == (len(good) / len(kept), len(good) / 20)
    assert found.proposed
    assert found.proposed.min_score == 50.0, "the lowest with 20 good ones among 25"
    assert [cut.min_score for cut in found.cuts] == sorted(cut.min_score for cut in found.cuts)


def test_nothing_is_proposed_from_few_rows(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=pa.array(range(30)), score=pa.array(np.arange(30), pa.float32()))
    found = measure(out, label(tmp_path / "labels.csv", [f"{i},{int(i >= 25)}" for i in range(30)]))
    assert found.proposed is None


def test_equal_scores_count_half_in_the_ranking(tmp_path: Path) -> None:
    scores = pa.array([0.0, 1.0, 1.0, 2.0], pa.float32())
    out = write_output(tmp_path / "out", row_id=pa.array([1, 2, 3, 4]), score=scores)
    assert measure(out, label(tmp_path / "l.csv", ["1,no", "2,yes", "3,no", "4,yes"])).auc == 3.5 / 4
    assert measure(out, label(tmp_path / "m.csv", ["1,yes", "2,yes"])).auc is None


def test_intervals_hold_the_truth() -> None:
    """Of 200 samples drawn at random, about 95 in 100 have the true share in their interval."""
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.3
    held = 0
    for _ in range(200):
        drawn = rng.choice(2000, 200, replace=False)
        share = wilson(int(truth[drawn].sum()), 200)
        assert share
        held += share.low <= truth.mean() <= share.high
    assert held >= 185


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (pa.array(["007", "7", "a,b"]), ["007", "7", '"a,b"']),
        (pa.array([2**64 - 1, 0, 5], pa.uint64()), [str(2**64 - 1), "0", "5"]),
        (pa.array([b"\xff\x00", b"\x01", b"ab"]), ["ff00", "01", "6162"]),
    ],
)
def test_ids_of_any_type(ids: pa.Array, texts: list[str], tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=ids, score=pa.array([1.0, 2.0, 3.0], pa.float32()))
    found = measure(out, label(tmp_path / "labels.csv", [f"{texts[0]},0", f"{texts[1]},1", f"{texts[2]},"]))
    assert (found.labelled, found.good, found.unlabelled, found.auc) == (2, 1, 1, 1.0)


def test_several_texts_a_row_and_rejected_rows(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "row_id": pa.array([1, 1, 2]),
        "text_index": pa.array([0, 1, 0], pa.int32()),
        "score": pa.array([1.0, 2.0, None], pa.float32()),
    }
    out = write_output(tmp_path / "out", **columns)
    found = measure(out, label(tmp_path / "l.csv", ["1,0,0", "1,1,1"], "row_id,text_index,good"))
    assert (found.rows, found.labelled, found.auc) == (2, 2, 1.0)
    with pytest.raises(ConfigError, match=r"LABELS: the table has no column 'text_index'"):
        measure(out, label(tmp_path / "m.csv", ["1,0"]))
    with pytest.raises(ConfigError, match=r"1 of the 1 labelled row have no score in"):
        measure(out, label(tmp_path / "n.csv", ["2,0,1"], "row_id,text_index,good"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,perhaps"], r"column 'good' of .* holds 'perhaps'; write 1 or 0"),
        (["x,1"], r"row_id of .* is not of the results' type, int64"),
        (["1,1", "1,0"], r"has several labels for row_id 1; leave one"),
        (["1,", "2,"], r"no row of .* has a label in column 'good'"),
        (["9,1"], r"1 of the 1 labelled row have no score in .*: are they of another table\?"),
    ],
)
def test_labels_that_do_not_fit(lines: list[str], message: str, tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=pa.array([1, 2]), score=pa.array([1.0, 2.0], pa.float32()))
    with pytest.raises(ConfigError, match=message):
        measure(out, label(tmp_path / "labels.csv", lines))


def test_several_results_of_one_id(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", row_id=pa.array([1, 1]), score=pa.array([1.0, 2.0], pa.float32()))
    with pytest.raises(ConfigError, match="have the same row_id"):
        measure(out, label(tmp_path / "labels.csv", ["1,1"]))


def test_outputs_without_scores(tmp_path: Path) -> None:
    scores = write_output(tmp_path / "embed", "embed", row_id=pa.array([1]), score=pa.array([1.0], pa.float32()))
    with pytest.raises(ConfigError, match=r"embed' is of embed, and has no score for each row; name the output folder"):
        measure(scores, label(tmp_path / "labels.csv", ["1,1"]))
    config = write_shards(tmp_path)
    filter_table(FilterConfig.checked(config))
    with pytest.raises(ConfigError, match=r"out' is of filter, and has no score for each row; name the output folder"):
        measure(config["output"]["path"], label(tmp_path / "labels.csv", ["1,1"]))
