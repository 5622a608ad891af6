"""Answers of Parquet files: those that are given, those that were rejected, and those of another benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.answers import Answers, checked, read_answers

KNOWN = frozenset({1, 2, 3, 4})


def read(folder: Path, known: Any = KNOWN, **columns: list[Any]) -> Answers:
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return read_answers(str(folder), "vqa.results", ("question_id", "answer"), StorageConfig(), known)


def test_answers_and_reasons(tmp_path: Path) -> None:
    errors = [None, "image_null", None, "image_null"]
    found = read(tmp_path, question_id=[1, 2, 3, 4], answer=["a", None, None, None], error=errors)
    assert found.given == {1: "a"}
    assert found.rejected == {"image_null": 2, "no answer": 1}
    assert list(found.rejected) == ["image_null", "no answer"], "the most frequent first"
    assert found.lineage == {"results": str(tmp_path)}


def test_files_without_errors(tmp_path: Path) -> None:
    assert read(tmp_path, question_id=[1, 2], answer=["a", "b"]).given == {1: "a", 2: "b"}


@pytest.mark.parametrize("answer", ["b", None])
def test_rows_twice_and_rows_of_another_benchmark(tmp_path: Path, answer: str | None) -> None:
    """Rejected rows count too: a question is not both answered and rejected."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, question_id=[1, 1], answer=["a", answer])
    assert str(caught.value) == f"vqa.results: {str(tmp_path)!r}: question_id 1 stands there more than once"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, question_id=[1, 9], answer=["a", answer])
    assert str(caught.value) == (
        f"vqa.results: {str(tmp_path)!r} has an answer to question_id 9, which the benchmark does not have"
    )
    assert read(tmp_path, None, question_id=[1, 9], answer=["a", answer]).given.keys() >= {1}


def test_checked_pairs() -> None:
    pairs: list[tuple[object, str | None]] = [("x", "a"), ("y", None)]
    assert checked(iter(pairs), "f", "k", "identifier", {"x", "y"}) == Answers({"x": "a"}, {}, {"results": "f"})
