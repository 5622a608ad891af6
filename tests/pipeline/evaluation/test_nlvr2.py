"""NLVR2's accuracy and consistency, and the files of the official script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import ConfigError
from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.evaluation.nlvr2 import Nlvr2, nlvr2_metrics
from pipeline.evaluation.nlvr2_files import Example
from pipeline.evaluation.output import Measured

LABELS = {"dev-0-0-0": True, "dev-0-1-0": False, "dev-0-0-1": True, "dev-1-0-0": True}


def example(identifier: str) -> Example:
    images, pair, sentence = identifier.rsplit("-", 2)
    names = (f"{images}-{pair}-img0.png", f"{images}-{pair}-img1.png")
    return Example(identifier, "s", LABELS[identifier], names, images, f"{images}--{sentence}")


EXAMPLES = [example(identifier) for identifier in LABELS]


@pytest.mark.parametrize(
    ("given", "accuracy", "consistency"),
    [
        ({}, 0.0, 0.0),
        ({"dev-0-0-0": "True", "dev-0-1-0": "False", "dev-0-0-1": "TRUE", "dev-1-0-0": "true"}, 1.0, 1.0),
        ({"dev-0-0-0": "True", "dev-0-1-0": "True", "dev-0-0-1": "True", "dev-1-0-0": "True"}, 0.75, 2 / 3),
        ({"dev-0-0-0": "maybe", "dev-0-1-0": "False"}, 0.25, 0.0),
    ],
)
def test_accuracy_and_consistency(given: dict[object, str], accuracy: float, consistency: float) -> None:
    """A sentence is judged right beside every pair of its images, or not at all; what is missing is wrong."""
    metrics = nlvr2_metrics(EXAMPLES, given, BootstrapConfig(resamples=100))
    assert [(metric.name, metric.count, metric.of) for metric in metrics] == [
        ("accuracy", 4, "examples"),
        ("consistency", 3, "sentences"),
    ]
    assert [metric.value for metric in metrics] == pytest.approx([accuracy, consistency])


def measured(folder: Path, content: str) -> Measured:
    """Measure a CSV of the official script."""
    lines = [{"identifier": i, "sentence": "s", "label": str(label)} for i, label in LABELS.items()]
    (folder / "dev.json").write_text("\n".join(map(json.dumps, lines)))
    (folder / "results.csv").write_text(content)
    section = {"annotations": str(folder / "dev.json"), "results": str(folder / "results.csv")}
    values = {"output": {"path": str(folder / "out")}, "nlvr2": section, "bootstrap": {"resamples": 100}}
    return Nlvr2(EvaluateConfig.checked(values), None).measure()  # type: ignore[arg-type]


def test_a_file_of_the_official_script(tmp_path: Path) -> None:
    found = measured(tmp_path, "dev-0-0-0,True\n\ndev-0-1-0, false\ndev-0-0-1,False\n")
    assert (found.metrics[0].value, found.missing, found.rejected) == (0.5, 1, {})


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("dev-0-0-0,Perhaps\n", "expected lines of identifier,True or identifier,False, found dev-0-0-0,Perhaps"),
        ("dev-0-0-0\n", "expected lines of identifier,True or identifier,False, found dev-0-0-0"),
        ("dev-0-0-0,True\ndev-0-0-0,True\n", "identifier 'dev-0-0-0' stands there more than once"),
        ("test-0-0-0,True\n", "has an answer to identifier 'test-0-0-0', which the benchmark does not have"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        measured(tmp_path, content)
    assert str(caught.value).startswith(f"nlvr2.results: {str(tmp_path / 'results.csv')!r}")
    assert str(caught.value).endswith(found)
