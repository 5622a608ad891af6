"""The layouts of the benchmarks' files, and the one line about a file of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import (
    Annotations,
    Karpathy,
    Nlvr2Line,
    Questions,
    Submitted,
    check_once,
    parse,
    read_file,
)

GOOD: list[tuple[Any, Any]] = [
    (Karpathy, {"images": [{"filename": "a", "imgid": 1, "split": "test", "sentences": [{"raw": "x", "sentid": 1}]}]}),
    (Questions, {"questions": [{"question_id": 1, "image_id": 2, "question": "?"}], "data_subtype": "val2014"}),
    (Questions, {"questions": []}),
    (Annotations, {"annotations": [{"question_id": 1, "answer_type": "other", "answers": [{"answer": "x"}]}]}),
    (Submitted, [{"question_id": 1, "answer": "x"}]),
    (Nlvr2Line, {"identifier": "a", "sentence": "s", "label": "False"}),
]


@pytest.mark.parametrize(("layout", "value"), GOOD)
def test_a_layout_is_read(layout: Any, value: Any) -> None:
    assert parse(layout, json.dumps(value).encode(), "key", "f") == value


def test_other_keys_are_not_asked_for() -> None:
    content = json.dumps([{"question_id": 1, "answer": "x", "answer_id": 7}]).encode()
    assert parse(Submitted, content, "key", "f")[0]["answer"] == "x"


EXPECTED = '[{"question_id", "answer"}]'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, "an object"),
        ({"a": 1, "b": 2}, "an object with the keys a, b"),
        (None, "null"),
        ([[]], "0: a list"),
        ([{"question_id": 1}], "0 with the keys question_id, without 'answer'"),
        ([{"question_id": 1, "answer": "x"}, {}], "1 with the keys nothing, without 'question_id'"),
        ([{"question_id": "q", "answer": "x"}], "0.question_id: 'q'"),
        ([{"question_id": 1, "answer": 3}], "0.answer: 3"),
        ("x" * 99, repr("x" * 99)[:60]),
    ],
)
def test_another_layout_is_one_line(content: Any, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Submitted, json.dumps(content).encode(), "vqa.results", "f.json", "line 3: ")
    assert str(caught.value) == (
        f"vqa.results: 'f.json' has another layout: expected {EXPECTED}, found line 3: {found}"
    )


def test_what_is_no_json() -> None:
    with pytest.raises(ConfigError, match=r"^k: 'f' has another layout: expected .*, found no JSON \(.*\)$"):
        parse(Submitted, b"[{", "k", "f")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_file(str(tmp_path / "a"), "k", StorageConfig()) == b"abc"
    with pytest.raises(ConfigError) as caught:
        read_file(str(tmp_path / "b"), "k", StorageConfig())
    assert str(caught.value) == f"k: {str(tmp_path / 'b')!r} does not exist"
    with pytest.raises(ConfigError, match=r"^k: cannot read "):
        read_file(str(tmp_path), "k", StorageConfig())


def test_numbers_that_stand_twice() -> None:
    check_once([1, 2, "1"], "question_id", "k", "f")
    with pytest.raises(ConfigError) as caught:
        check_once(iter([1, 2, 3, 2]), "question_id", "k", "f")
    assert str(caught.value) == "k: 'f': question_id 2 stands there more than once"
