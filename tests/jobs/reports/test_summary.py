"""The summaries of jobs and filters, for a person and for programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.console.tables import to_text
from jobs.reports.summary import (
    NOTHING_TO_DO,
    candidates_line,
    filter_summary_table,
    filter_values,
    rejected_table,
    summary_table,
    summary_values,
)
from pipeline.common.error_codes import REASONS
from pipeline.common.summary import Summary
from pipeline.filtering.summary import FilterSummary

SUMMARY = Summary(
    tasks=["score"], output="out/", rows_in=1500, rows_out=1500, pairs=1500, scored=1498,
    rejected={"image_null": 1, "text_null": 1}, seconds=12.34, pairs_per_second=121.6, model_seconds=8.0,
    micro_batches=1200, tokens=100, batch_fill=0.934, files=["a.parquet", "b.parquet"], parts={"rows": 12.34},
    lineage={"vilt.model": "zoo://scenes", "vilt.precision": "float32 on cpu"}, identity={}, resumed_rows=0,
)  # fmt: skip
FILTER = FilterSummary(
    output="out/", rows_in=1000, kept=250, dropped={"score below 0.5": 749, "error: image_null": 1}, keep={},
    score="score", lowest_kept=0.51234567, scores_from="scores/", scores=None, examples={}, input={}, seconds=3.21,
    files=["kept/a", "kept/b"], identity={},
    lineage={"vilt.model": "zoo://scenes", "vilt.precision": "float32 on cpu"},
)  # fmt: skip


def lines(summary: Summary, seconds: float | None = None) -> list[str]:
    return [" ".join(line.split()) for line in to_text(summary_table(summary, seconds)).splitlines()]


def test_a_job() -> None:
    assert lines(SUMMARY, 20.0) == [
        "rows in 1,500",
        "scored 1,498",
        "rejected 2",
        f"1 image_null: {REASONS['image_null']}",
        f"1 text_null: {REASONS['text_null']}",
        "time 20.0 s in all; 12.3 s for the rows, 121.6 pairs/s; 7.7 s to end; 8.0 s in the model",
        "batches 1,200, on average with 93% of the tokens that one may have (batch.tokens)",
        "model zoo://scenes in float32 on cpu",
        "output out/ (Parquet files: 2)",
    ]
    assert lines(SUMMARY)[5] == "time 12.3 s for the rows, 121.6 pairs/s; 8.0 s in the model"
    parts = {"prepare": 1.5, "start": 2.5, "rows": 12.34}
    assert "pairs/s; 1.5 s to prepare, 2.5 s to start; 8.0" in lines(replace(SUMMARY, parts=parts))[5]


def test_several_tasks_lists_of_texts_and_a_job_that_was_resumed() -> None:
    found = lines(replace(SUMMARY, tasks=["score", "answer"], pairs=4000, scored=3999, resumed_rows=700, rejected={}))
    assert found[:4] == [
        "rows in 1,500 (4,000 pairs)",
        "done 3,999",
        "resumed 700 rows were done by earlier runs",
        "rejected 0",
    ]


def test_nothing_to_do() -> None:
    idle = replace(SUMMARY, finished_before=True, resumed_rows=1500)
    found = lines(idle)
    assert found[0] == NOTHING_TO_DO
    assert not any(line.startswith(("time", "resumed")) for line in found)
    values = summary_values(idle, 1.23456)
    assert (values["seconds"], values["pairs_per_second"], values["model_seconds"]) == (0, 0, 0)
    assert values["resumed_rows"] == 1500
    assert values["whole_seconds"] == 1.235
    assert (values["rows_in"], values["files"], values["rejected"]) == (1500, 2, SUMMARY.rejected)


def test_values_of_a_job() -> None:
    values = summary_values(SUMMARY)
    assert (values["seconds"], values["whole_seconds"], values["resumed_rows"]) == (12.34, None, 0)
    assert json.loads(json.dumps(values)) == values


def test_reasons_of_other_releases() -> None:
    [table] = rejected_table({"solar_flare": 3})
    assert " ".join(to_text(table).split()) == "3 solar_flare"
    assert rejected_table({}) == []


@pytest.mark.parametrize("idle", [False, True])
def test_a_filter(idle: bool) -> None:
    summary = replace(FILTER, finished_before=idle)
    found = [" ".join(line.split()) for line in to_text(filter_summary_table(summary)).splitlines()]
    body = [
        "rows in 1,000",
        "kept 250 (25.0%)",
        "lowest 0.5123 in score",
        "dropped 750",
        "749 score below 0.5",
        f"1 error: image_null: {REASONS['image_null']}",
        *([] if idle else ["time 3.2 s for the rows"]),
        "scores scores/",
        "model zoo://scenes in float32 on cpu",
        "output out/kept/ (Parquet files: 2)",
    ]
    assert found == ([NOTHING_TO_DO] if idle else []) + body
    values = filter_values(summary)
    assert (values["seconds"], values["kept"], values["files"]) == (0.0 if idle else 3.21, 250, 2)
    json.dumps(values)


def test_a_filter_of_an_empty_table() -> None:
    text = to_text(filter_summary_table(replace(FILTER, rows_in=0, kept=0, dropped={}, lowest_kept=None)))
    assert "%" not in text
    assert "lowest" not in text


def test_rows_that_were_scored_again_and_a_first_stage() -> None:
    found = {"n": 100, "texts": 20, "best": 100, "found": 93}
    shown = lines(replace(SUMMARY, repeated_rows=1200, candidates=found))
    assert "repeated 1,200 rows were scored again: actors or nodes were lost" in shown
    assert (
        "candidates 100 nearest images of each text; recall 93.0%: 93 of the 100 best images of 20 texts that were "
        "read with all images"
    ) in shown
    assert "recall not measured" in candidates_line({"n": 5, "texts": 0, "best": 0, "found": 0})
    values = summary_values(replace(SUMMARY, repeated_rows=1200, candidates=found))
    assert (values["repeated_rows"], values["candidates"]) == (1200, found)
