"""`keep.beats`: the own text of a row against other texts of the same image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig, KeepConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table, prepare_filter
from pipeline.filtering.selection import Selection
from pipeline.results.reader import Results, open_results

AD, MARK, CAT = "an advertisement", 'a watermark\'s "text"', "Ein Kätzchen"
SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("text_index", pa.int32()),
        ("score", pa.float32()),
        ("negative_scores", pa.list_(pa.float32())),
        ("error", pa.string()),
    ]
)
ROWS = [
    (0, 0, 2.5, [0.5, 1.5, 9.0], None),
    (1, 0, 2.0, [1.5, 0.5, 9.0], None),
    (2, 0, 2.0, [0.5, 1.25, 9.0], None),
    (3, 0, -0.5, [-1.5, -2.5, 9.0], None),
    (4, 0, None, None, "image_null"),
    (5, 0, 3.0, None, None),  # as a damaged file may have it
    (6, 0, 3.0, [1.0], None),
    (7, 0, 2.5, [1.25, 0.0, 9.0], None),  # three texts: leads of 1.25, -0.25, and an error
    (7, 1, 1.0, [1.25, 0.0, 9.0], None),
    (7, 2, None, None, "text_null"),
]


def write(folder: Path, texts: list[str] | None = None, name: str = "part-0", **metadata: str) -> Results:
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in ROWS], SCHEMA)
    values = {"vilt.task": "score", **({} if texts is None else {"vilt.negatives": json.dumps(texts)}), **metadata}
    pq.write_table(table.replace_schema_metadata(values), folder / f"{name}.parquet")
    return open_results(str(folder), "scores", StorageConfig())


def decided(results: Results, **keep: Any) -> tuple[dict[int, str | None], pa.Table]:
    """Return row_id -> why it is dropped, and the dropped rows."""
    with Selection() as selection:
        keys = pa.array(range(8), pa.int64())
        selection.add_rows([pa.table({"__row_key": keys, "row_id": keys})])
        selection.decide(KeepConfig.checked(keep), results)
        found = selection.verdicts(0, 8)
        assert found.kept.schema.names == ["row_id", "score", "negative_score"]
        reasons = {int(key): None for key in found.keys}
        return reasons | {row["row_id"]: row["reason"] for row in found.dropped.to_pylist()}, found.dropped


def test_the_own_text_leads_by_the_margin(tmp_path: Path) -> None:
    results = write(tmp_path, [AD, MARK, CAT])
    reasons, dropped = decided(results, beats={"texts": [MARK, AD], "margin": 1.0})
    assert reasons == {
        0: None,
        1: "does not beat 'an advertisement' by 1",
        2: f"does not beat {MARK!r} by 1",
        3: None,
        4: "error: image_null",
        5: "no score of the texts to beat",
        6: "no score of the texts to beat",
        7: None,
    }
    assert dropped.schema.names == ["row_id", "score", "negative_score", "reason"]
    assert dropped["negative_score"].to_pylist() == [1.5, 1.25, None, None, None]
    assert {k for k, v in decided(results, beats={"texts": [AD]})[0].items() if v is None} == {0, 1, 2, 3, 7}
    less = decided(results, beats={"texts": [AD], "margin": -0.5}, min_score=2.25, top=1)[0]
    assert (less[0], less[1]) == (None, "score below 2.25")
    reason = decided(results, beats={"texts": [CAT]})[0][0]
    assert reason == "does not beat 'Ein Kätzchen'"


@pytest.mark.parametrize(
    ("texts", "margin", "kept"),
    [("best", 1.25, True), ("worst", -0.25, True), ("worst", 0, False), ("mean", 0.5, True), ("mean", 0.625, False)],
)
def test_which_of_several_texts_counts(tmp_path: Path, texts: str, margin: float, kept: bool) -> None:
    results = write(tmp_path, [AD, MARK, CAT])
    found = decided(results, beats={"texts": [AD, MARK], "margin": margin}, texts=texts)[0]
    assert (found[7] is None) == kept


def test_results_without_scores_of_the_texts(tmp_path: Path) -> None:
    keep = {"beats": {"texts": [AD, CAT]}}
    for folder, stored, held in (("a", None, "none of such texts"), ("b", [AD], "those of 'an advertisement' alone")):
        text = AD if stored is None else CAT
        with pytest.raises(ConfigError) as caught:
            decided(write(tmp_path / folder, stored), **keep)
        assert str(caught.value) == (
            f"keep.beats: {str(tmp_path / folder)!r} has no scores of {text!r}, but {held}: score the table again with "
            "negatives: [...] in the file of the job, or give the job as `run` in place of `scores`"
        )
    write(tmp_path / "b", [AD, CAT, MARK], "part-1")
    with pytest.raises(ConfigError, match="hold scores of different negatives: of two jobs"):
        decided(open_results(str(tmp_path / "b"), "scores", StorageConfig()), **keep)
    with pytest.raises(ConfigError, match=r"vilt\.negatives in the files of '.*' is damaged"):
        decided(write(tmp_path / "c", **{"vilt.negatives": '["a'}), **keep)


BEATS = {"beats": {"texts": [AD, MARK]}}


@pytest.mark.parametrize(
    ("keep", "run", "message"),
    [
        ({"beats": {"texts": []}}, {}, "keep.beats.texts: an empty list; name the texts, or leave the key out"),
        ({"beats": {"texts": ["a", " "]}}, {}, "keep.beats.texts: ' ' is blank"),
        ({"beats": {"texts": ["a", "a"]}}, {}, "keep.beats.texts: 'a' is there twice"),
        ({"beats": {"texts": ["a" * 9000]}}, {}, "keep.beats.texts: 9,004 characters, more than the 9,000 of all"),
        ({"beats": {"margin": 1}}, {}, "keep.beats.texts: "),
        (BEATS, {"task": "answer"}, "keep.beats: compares scores, but run is of answer: use task: score, or leave"),
        (BEATS, {"negatives": [AD]}, f"keep.beats.texts: {MARK!r} is not among run.negatives, the texts that are"),
        ({"top": 1}, {"task": "answer", "negatives": [AD]}, "run.negatives: only score reads them; the job is of ans"),
        ({"top": 1}, {"negatives": []}, "run.negatives: an empty list"),
        (BEATS, {"tasks": 5, "task": None}, "run.task"),
    ],
)
def test_texts_that_cannot_be_beaten(keep: dict[str, Any], run: dict[str, Any], message: str) -> None:
    values = {"input": {"path": "t"}, "keep": keep, "output": {"path": "o", "report": False}}
    job = {key: value for key, value in {"task": "score", "model": "zoo://scenes", **run}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        FilterConfig.checked({**values, "run": job})
    assert str(caught.value).startswith(f"config: {message}")
    assert "\n" not in str(caught.value)


def test_the_job_reads_the_texts_to_beat() -> None:
    values = {"input": {"path": "t"}, "keep": BEATS, "output": {"path": "o", "report": False}}
    run = {"tasks": ["score", "answer"], "model": "m"}
    assert FilterConfig.checked({**values, "run": run}).scoring_job(False).negatives == [AD, MARK]
    run = {"task": "score", "model": "m", "negatives": [CAT, MARK, AD]}
    config = FilterConfig.checked({**values, "run": run})
    assert config.scoring_job(False).negatives == [CAT, MARK, AD]
    margin = FilterConfig.checked({**values, "run": run, "keep": {"beats": {**BEATS["beats"], "margin": 2}}})
    assert margin.sha256 != config.sha256
    assert margin.scoring_job(False).sha256 == config.scoring_job(False).sha256, "another margin needs no inference"


def test_kept_rows_with_all_scores(tmp_path: Path) -> None:
    write(tmp_path / "scores", [AD, MARK, CAT])
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"key": range(8)}), tmp_path / "table" / "a.parquet")
    values: dict[str, Any] = {
        "input": {"path": f"{tmp_path}/table", "id": "key"},
        "scores": f"{tmp_path}/scores",
        "keep": {"beats": {"texts": [AD, MARK], "margin": 1}},
        "output": {"path": f"{tmp_path}/out", "report": False, "scores": True},
    }
    summary = filter_table(FilterConfig.checked(values))
    assert (summary.kept, summary.keep["beats"]) == (3, {"texts": [AD, MARK], "margin": 1.0})
    kept = pq.read_table(tmp_path / "out" / "kept")
    assert kept.schema.names == ["key", "row_id", "score", "negative_score"]
    assert kept["negative_score"].to_pylist() == [1.5, -1.5, 1.25]
    pq.write_table(pa.table({"key": range(8), "Negative_Score": range(8)}), tmp_path / "table" / "a.parquet")
    with pytest.raises(ConfigError, match="the table has a column 'Negative_Score', a name that the filter would add"):
        prepare_filter(FilterConfig.checked(values))
