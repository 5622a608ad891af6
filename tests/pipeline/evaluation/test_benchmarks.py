"""The benchmarks' files: what is read, and the one line about another layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.benchmarks import read_nlvr2, read_split, read_vqa
from tests.pipeline.evaluation import drawn

STORAGE = StorageConfig()
PATTERN = "COCO_{subtype}_{image_id:012d}.jpg"


def test_a_split_of_karpathy(tmp_path: Path) -> None:
    path, _ = drawn.karpathy(tmp_path, 4)
    split = read_split(path, "test", STORAGE)
    assert split.imgids == [7, 14, 21, 28]
    assert split.images == [f"val2014/{i}.jpg" for i in range(1, 5)]
    assert split.sentids == sorted(split.sentids)
    assert split.image_of == sorted(split.image_of)
    assert len(set(split.image_of)) == 4
    with pytest.raises(ConfigError, match=r"has no image of 'val'; it has .*test \(4 images\)"):
        read_split(path, "val", STORAGE)


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


def test_nlvr2(tmp_path: Path) -> None:
    path, _ = drawn.nlvr2(tmp_path, 1)
    found = read_nlvr2(path, STORAGE)
    assert [example.identifier for example in found] == ["dev-0-0-0", "dev-0-0-1", "dev-0-1-0", "dev-0-1-1"]
    assert found[2].images == ("dev-0-1-img0.png", "dev-0-1-img1.png")
    assert found[0].group == found[2].group != found[1].group
    assert {example.set for example in found} == {"dev-0"}


IMAGE = {"filename": "a", "imgid": 1, "split": "test", "sentences": [{"raw": "x", "sentid": 1}]}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1, 2], "found a list"),
        ({"annotations": []}, "found an object with the keys annotations, without 'images'"),
        ({"images": [{**IMAGE, "imgid": "x"}]}, "found images.0.imgid: 'x'"),
        (
            {"images": [{k: v for k, v in IMAGE.items() if k != "split"}]},
            "found images.0 with the keys filename, imgid",
        ),
        ({"images": [{**IMAGE, "sentences": [{"raw": "x"}]}]}, "found images.0.sentences.0 with the keys raw, without"),
        ({"images": [{**IMAGE, "sentences": None}]}, "found images.0.sentences: null"),
        ({"images": [IMAGE, IMAGE]}, "imgid 1 stands there more than once"),
        ({"images": [{**IMAGE, "sentences": []}]}, "image 1 has no sentences"),
        ({"images": []}, "has no image of 'test'; it has no image at all"),
        (b"{", "found no JSON (Invalid JSON: EOF"),
        (b"", "found no JSON"),
        (b"\xff\xfe", "found no JSON"),
    ],
)
def test_another_layout_is_one_line(tmp_path: Path, value: Any, found: str) -> None:
    path = tmp_path / "split.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    with pytest.raises(ConfigError) as caught:
        read_split(str(path), "test", STORAGE)
    assert found in str(caught.value)
    assert str(caught.value).startswith("retrieval.")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_layout_of_vqa_and_nlvr2(tmp_path: Path) -> None:
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
    good = {"identifier": "dev-0-0-0", "sentence": "s", "label": "True"}
    for line, found in (
        ({**good, "label": "Perhaps"}, "found line 2: label: 'Perhaps'"),
        ({"identifier": "dev-1-0-0"}, "found line 2: an object with the keys identifier, without 'sentence'"),
        ({**good, "identifier": "dev1"}, "line 2: identifier 'dev1' is not split-set-pair-sentence, as in dev-0-0-0"),
        (good, "identifier 'dev-0-0-0' stands there more than once"),
        ([good], "found line 2: a list"),
    ):
        (tmp_path / "dev.json").write_text(f"{json.dumps(good)}\n{json.dumps(line)}\n")
        with pytest.raises(ConfigError) as caught:
            read_nlvr2(str(tmp_path / "dev.json"), STORAGE)
        assert found in str(caught.value)
        assert "\n" not in str(caught.value)
