"""Files in the layout of NLVR2: what is read, and the one line about another layout."""

import json
from pathlib import Path

import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.nlvr2_files import read_nlvr2
from tests.pipeline.evaluation import drawn

STORAGE = StorageConfig()


def test_nlvr2(tmp_path: Path) -> None:
    path, _ = drawn.nlvr2(tmp_path, 1)
    found = read_nlvr2(path, STORAGE)
    assert [example.identifier for example in found] == ["dev-0-0-0", "dev-0-0-1", "dev-0-1-0", "dev-0-1-1"]
    assert found[2].images == ("dev-0-1-img0.png", "dev-0-1-img1.png")
    assert found[0].group == found[2].group != found[1].group
    assert {example.image_set for example in found} == {"dev-0"}


def test_another_layout_is_one_line(tmp_path: Path) -> None:
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
