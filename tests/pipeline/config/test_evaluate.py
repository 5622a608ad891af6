"""The file of `vilt evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.evaluate import EvaluateConfig

VQA = {"questions": "q.json", "annotations": "a.json", "model": "m", "images": "images/"}
GOOD = {"output": {"path": "out/"}, "vqa": VQA}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vqa": None}, "no benchmark: give a section retrieval, vqa, nlvr2, or several"),
        ({"vqa": {**VQA, "results": "r"}}, "vqa.model: give either the model to measure or vqa.results"),
        ({"vqa": {**VQA, "model": None}}, "vqa.model: give either the model to measure or vqa.results"),
        (
            {"vqa": {**VQA, "images": None}},
            "vqa.images: missing; it is the folder of the images, which the model reads",
        ),
        (
            {"vqa": {"questions": "q.json", "results": "r.json"}},
            "vqa.annotations: missing; without them there is nothing to measure vqa.results against",
        ),
        (
            {"vqa": {**VQA, "image_name": "{id}.jpg"}},
            "vqa.image_name: '{id}.jpg' is no pattern (KeyError('id')); it is made of {subtype} and {image_id}, as in "
            "COCO_{subtype}_{image_id:012d}.jpg",
        ),
        (
            {"vqa": {**VQA, "model": None, "results": "r"}},
            "vqa.images: given beside vqa.results, which no image is read for: leave it out",
        ),
        (
            {"nlvr2": {"model": "m", "images": "i"}},
            "nlvr2.annotations: missing; it is the file of sentences, as dev.json",
        ),
        (
            {"bootstrap": {"resamples": 10}},
            "bootstrap.resamples: 10 is wrong; input should be greater than or equal to 100",
        ),
    ],
)
def test_files_that_are_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EvaluateConfig.checked({**GOOD, **values}, "file")
    assert str(caught.value) == f"file: {message}"


@pytest.mark.parametrize("name", ["{}", "{subtype!x}", "{image_id.x}", "{image_id:s}", "{subtype"])
def test_patterns_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^config: vqa\.image_name: .* is no pattern"):
        EvaluateConfig.checked({**GOOD, "vqa": {**VQA, "image_name": name}})


def test_a_job_of_the_evaluation() -> None:
    config = EvaluateConfig.checked({**GOOD, "precision": "float32", "max_error_rate": 0.5, "batch": {"tokens": 999}})
    job = config.job("answer", "m", "out/vqa/answers", path="questions/", text="question", id="question_id")
    assert (job.tasks, job.model, job.output.path, job.precision) == (["answer"], "m", "out/vqa/answers", "float32")
    assert (job.input.path, job.input.text, job.input.id) == ("questions/", "question", "question_id")
    assert (job.max_error_rate, job.batch, job.storage) == (0.5, config.batch, config.storage)


def test_a_file_with_overrides(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("output: {path: out/}\nnlvr2: {annotations: a, results: r}\n")
    config = EvaluateConfig.load(str(tmp_path / "e.yaml"), ["bootstrap.seed=4"])
    assert (config.bootstrap.seed, config.bootstrap.resamples) == (4, 1000)
