"""The tables of texts and of candidates of `rank`: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.tables.id_checks import warn_about_ids
from pipeline.tables.rank_inputs import texts_reader
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.rank_inputs.texts_reader import read_texts
from pipeline.tables.table import open_files, open_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of five images, one of three texts."""
    pq.write_table(pa.table({"image": ["a.png"] * 5, "id": [30, 10, 20, 40, 50]}), tmp_path / "images.parquet")
    pq.write_table(pa.table({"text_id": [7, 5, 9], "caption": ["x", None, "z"]}), tmp_path / "texts.parquet")
    return tmp_path


def read(folder: Path, **texts: Any) -> RankTexts:
    values = {
        "input": {"path": str(folder / "images.parquet"), "id": "id", "text": None},
        "texts": {"path": str(folder / "texts.parquet"), "text": "caption", "id": "text_id", **texts},
        "model": "zoo://scenes",
        "output": {"path": "/nowhere/out"},
    }
    job = JobConfig.parse("rank", values)
    return read_texts(job, open_table(job))


def with_candidates(folder: Path, pairs: list[tuple[Any, Any]]) -> RankTexts:
    table = pa.table({"text_id": [text for text, _ in pairs], "image_id": [image for _, image in pairs]})
    pq.write_table(table, folder / "pairs.parquet")
    return read(folder, candidates=str(folder / "pairs.parquet"))


def test_texts_and_their_ids(folder: Path) -> None:
    texts = read(folder)
    assert (texts.ids.to_pylist(), texts.texts, texts.candidates) == ([7, 5, 9], ["x", None, "z"], None)
    assert read(folder, id=None).ids.to_pylist() == [0, 1, 2]


def test_texts_of_several_windows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_reader, "WINDOW", 2)
    assert read(folder).texts == ["x", None, "z"]


def test_a_text_that_is_no_utf8(folder: Path) -> None:
    stored = pa.array([b"x", b"\xff", b"z"]).view(pa.string())
    pq.write_table(pa.table({"text_id": [7, 5, 9], "caption": stored}), folder / "texts.parquet")
    texts = read(folder)
    assert [texts.texts[0], texts.texts[2]] == ["x", "z"]
    failure = texts.failure(1)
    assert failure is not None
    assert failure.reason == "text_invalid"
    assert texts.readable.tolist() == [0, 2]


def test_candidates_in_any_order_and_twice(folder: Path) -> None:
    found = with_candidates(folder, [(9, 20), (7, 20), (9, 20), (5, 50)]).candidates
    assert found is not None
    assert [one.tolist() for one in found.of(pa.array([10, 20, 30, 40, 50]))] == [[], [0, 2], [], [], [1]]


def test_ids_of_images_are_read_once_for_candidates_and_for_the_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pq.write_table(pa.table({"image": ["a.png"] * 5, "id": [30, 10, 20, 20, 20]}), folder / "images.parquet")
    found = with_candidates(folder, [(9, 20), (7, 10)]).candidates
    assert found is not None
    assert found.id_counts == (0, 1, 3)
    table = open_files(InputConfig(path=str(folder / "images.parquet")), StorageConfig())
    monkeypatch.setattr("pipeline.tables.id_checks.read_columns", None)
    with caplog.at_level("WARNING"):
        warn_about_ids(table, "id", found.id_counts)
    assert "column 'id' has 1 id that stands in several rows, 3 in all" in caplog.text


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(9, 20), (6, 20)], "texts.candidates: 1 value of text_id is unknown: 6"),
        ([(9, i) for i in range(5)], "texts.candidates: 5 values of image_id are unknown: 0, 1, 2, ..."),
        ([(9, None), (9, 20)], "texts.candidates: column 'image_id' holds 1 nulls; each row needs an id"),
    ],
)
def test_wrong_candidates(folder: Path, pairs: list[tuple[Any, Any]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_candidates(folder, pairs)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"path": "nowhere.parquet"}, "texts.path: 'nowhere.parquet' does not exist"),
        (
            {"text": "captoin"},
            "texts: the table has no column 'captoin'; did you mean 'caption'? it has text_id, caption",
        ),
        ({"id": "vector"}, "texts: the table has no column 'vector'"),
        ({"text": "text_id", "id": None}, "texts.text: column 'text_id' is int64; a text is a string"),
        ({"candidates": "nowhere.parquet"}, "texts.candidates: 'nowhere.parquet' does not exist"),
    ],
)
def test_wrong_texts(folder: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(folder, **keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_that_come_twice_and_tables_without_texts(folder: Path) -> None:
    pq.write_table(pa.table({"text_id": [7, 5, 7], "caption": ["x", "y", "z"]}), folder / "texts.parquet")
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert str(caught.value) == "texts.id: 'text_id' names several texts with 7; ids are unique"
    pq.write_table(
        pa.table({"text_id": pa.array([], pa.int64()), "caption": pa.array([], pa.string())}), folder / "texts.parquet"
    )
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert str(caught.value) == f"texts.path: {str(folder / 'texts.parquet')!r} holds no texts"
