"""VQAv2's accuracy over questions, types of answers and images."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.evaluate import BootstrapConfig
from pipeline.evaluation.vqa import vqa_metrics
from pipeline.evaluation.vqa_files import VqaSet

BOOTSTRAP = BootstrapConfig(resamples=100)


def truth(number: int, kind: str, *answers: str) -> Any:
    return {"question_id": number, "answer_type": kind, "answers": [{"answer": answer} for answer in answers]}


QUESTIONS = VqaSet(
    question_ids=[1, 2, 3, 4],
    questions=["?"] * 4,
    image_ids=[7, 7, 8, 9],
    images=["a"] * 4,
    truths={
        1: truth(1, "yes/no", *["yes"] * 9, "no"),
        2: truth(2, "number", *["2"] * 2, *["3"] * 8),
        3: truth(3, "yes/no", *["no"] * 10),
        4: truth(4, "other", *["red"] * 9, "blue"),
    },
)


def test_accuracy_by_type() -> None:
    metrics = vqa_metrics(QUESTIONS, {1: "yes", 2: "2", 3: "yes"}, BOOTSTRAP)
    values = {metric.name: (round(metric.value, 6), metric.count, metric.of) for metric in metrics}
    # Of ten annotators two say "2": of the ten sets of nine, two hold one of them and eight hold both.
    two = (2 * 1 / 3 + 8 * 2 / 3) / 10
    assert values == {
        "accuracy": (round((1 + two) / 4, 6), 4, "questions"),
        "accuracy, number": (round(two, 6), 1, "questions"),
        "accuracy, other": (0.0, 1, "questions"),
        "accuracy, yes/no": (0.5, 2, "questions"),
    }
    assert all(metric.low <= metric.value <= metric.high for metric in metrics)


@pytest.mark.parametrize(("given", "value"), [({}, 0.0), ({1: "YES.", 2: "three", 3: "no", 4: "The red"}, 1.0)])
def test_answers_are_compared_as_the_official_evaluator_does(given: dict[object, str], value: float) -> None:
    assert vqa_metrics(QUESTIONS, given, BOOTSTRAP)[0].value == pytest.approx(value)


def test_the_same_seed_gives_the_same_intervals() -> None:
    given: dict[object, str] = {1: "yes", 4: "blue"}
    first, again, other = (vqa_metrics(QUESTIONS, given, BootstrapConfig(resamples=100, seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first[0].value == other[0].value
