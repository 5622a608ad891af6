"""Splits in the layout of Karpathy: what is read, and the one line about another layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.karpathy import read_split
from tests.pipeline.evaluation import drawn

STORAGE = StorageConfig()


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
