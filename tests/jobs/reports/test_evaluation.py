"""The results of an evaluation, for a person and for programs."""

from __future__ import annotations

import io
import json

from PIL import Image

from jobs.console.tables import to_text
from jobs.reports.evaluation import evaluation_table, evaluation_values
from pipeline.common.error_codes import REASONS
from pipeline.config.evaluate import BootstrapConfig
from pipeline.evaluation.metrics import Metric
from pipeline.evaluation.output import Measured
from pipeline.evaluation.result_files import to_json, to_png

VQA = Measured(
    "vqa",
    [
        Metric("accuracy", 0.71234, 0.7, 0.72, 214_354, "questions"),
        Metric("accuracy, other", 0.5, 0.5, 0.5, 3, "questions"),
    ],
    {"image_missing": 2, "no answer": 1},
    4,
    {"vilt.model": "m"},
    ["vqa/submission.json"],
)
BARE = Measured("nlvr2", [], {}, 0, {}, [])
BOOTSTRAP = BootstrapConfig(resamples=200, seed=3)


def lines(*measured: Measured, files: tuple[str, ...] = ()) -> list[str]:
    return [" ".join(line.split()) for line in to_text(evaluation_table(measured, files)).splitlines() if line.strip()]


def test_metrics_and_what_is_missing() -> None:
    assert lines(VQA, BARE, files=("out/evaluation.json",)) == [
        "benchmark metric value 95 % interval of",
        "vqa accuracy 71.23% 70.00% to 72.00% 214,354 questions",
        "vqa accuracy, other 50.00% 50.00% to 50.00% 3 questions",
        "vqa: without a result, counted as wrong",
        f"2 image_missing: {REASONS['image_missing']}",
        "1 no answer: no answer",
        "4 missing in the results",
        "written out/evaluation.json",
    ]


def test_nothing_to_measure_against() -> None:
    assert lines(BARE) == ["no metrics: there are no annotations"]


def test_values() -> None:
    values = json.loads(to_json([VQA, BARE], BOOTSTRAP))
    assert values["bootstrap"] == {"interval": 0.95, "resamples": 200, "seed": 3}
    vqa = values["benchmarks"]["vqa"]
    assert vqa["metrics"]["accuracy"] == {
        "value": 0.71234,
        "low": 0.7,
        "high": 0.72,
        "count": 214354,
        "of": "questions",
    }
    assert (vqa["missing"], vqa["rejected"]["no answer"], vqa["files"]) == (4, 1, ["vqa/submission.json"])
    assert values["benchmarks"]["nlvr2"]["metrics"] == {}
    assert evaluation_values([VQA, BARE], BOOTSTRAP, ["a"]) == {**values, "files": ["a"]}


def test_the_picture() -> None:
    one, two = (Image.open(io.BytesIO(to_png(some))) for some in ([VQA], [VQA, BARE, VQA]))
    assert one.format == "PNG"
    assert one.width == two.width
    assert two.height == 2 * one.height, "a panel for each benchmark with metrics"
