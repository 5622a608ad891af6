"""Files in the layout of VQAv2: what is read, and the one line about another layout."""

import json
from pathlib import Path

import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.vqa_files import read_vqa
from tests.pipeline.evaluation import drawn

STORAGE = StorageConfig()
PATTERN = "COCO_{subtype}_{image_id:012d}.jpg"


def test_vqa(tmp_path: Path) -> None:
    questions, annotations, _ = drawn.vqa(tmp_path, 2)
    found = read_vqa(questions, annotations, PATTERN, STORAGE)
    assert found.question_ids == [0, 1, 10, 11]
    assert found.images[2] == "COCO_val2014_000000000001.jpg"
    assert found.truths is not None
    assert found.truths[11]["answer_type"] == "yes/no"
    values = json.loads(Path(questions).read_text())
    drawn.write_json(Path(questions), {**values, "data_subtype": "test-dev2015"})
    assert read_vqa(questions, None, PATTERN, STORAGE).images[0] == "COCO_test2015_000000000000.jpg"


def test_another_layout_is_one_line(tmp_path: Path) -> None:
    _, annotations, _ = drawn.vqa(tmp_path / "a", 2)
    with pytest.raises(
        ConfigError, match=r"vqa.questions: .* expected .*\"questions\".* keys annotations, data_subtype"
    ):
        read_vqa(annotations, annotations, PATTERN, STORAGE)
    few, _, _ = drawn.vqa(tmp_path / "b", 3)
    with pytest.raises(ConfigError, match=r"no answers to 2 of the 6 questions of '.*', question_id 20 among them"):
        read_vqa(few, annotations, PATTERN, STORAGE)
    with pytest.raises(ConfigError, match=r"vqa\.questions: ./nowhere. does not exist"):
        read_vqa("/nowhere", None, PATTERN, STORAGE)
