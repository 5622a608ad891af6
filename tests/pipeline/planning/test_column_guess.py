"""Which columns of a table are guessed to be the image, the text and the id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.common.tasks import Task
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.planning.column_guess import ColumnGuess, guess_columns
from pipeline.tables.table import open_files
from tests.conftest import png

CAPTIONS = ["two dogs on a bed", "a red car in the rain"]


def guess(tmp_path: Path, columns: dict[str, Any], task: Task = "score") -> ColumnGuess:
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    table = open_files(InputConfig(path=str(tmp_path / "table.parquet")), StorageConfig())
    return guess_columns(table, task)


def names(found: ColumnGuess) -> tuple[str | None, ...]:
    return tuple(one and one.column for one in (found.image, found.text, found.id))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"pixels": [png(8, 8), png(9, 8)], "alt": CAPTIONS, "uid": ["a", "b"]}, ("pixels", "alt", "uid")),
        ({"url": ["a.jpg", "b.jpg"], "jpg": [png(8, 8)] * 2, "TEXT": CAPTIONS}, ("jpg", "TEXT", None)),
        ({"img": [{"bytes": png(8, 8), "path": None}] * 2, "captions": [CAPTIONS] * 2}, ("img", "captions", None)),
        ({"file": ["a.JPG", "b.png"], "title": CAPTIONS, "id": [1, 1]}, ("file", "title", None)),
        ({"id": [1, None], "image_id": [1, 2], "image": [b"<html>"] * 2}, (None, None, "image_id")),
        ({"link": ["https://a.example/", "https://b.example/"], "x": [0.5, 1.0]}, (None, None, None)),
        ({"image": [None, None], "text": [None, "  "]}, (None, None, None)),
    ],
)
def test_columns_by_what_they_hold_and_are_called(
    columns: dict[str, Any], expected: tuple[str | None, ...], tmp_path: Path
) -> None:
    assert names(guess(tmp_path, columns)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"A-{i}" for i in range(8)], "code"),
        ([f"A-{i}" for i in range(7)], None),  # few rows prove little
        ([f"A-{i}" for i in range(7)] + ["A-0"], None),
        ([f"A-{i}" for i in range(7)] + [None], None),
        ([f"A {i}" for i in range(8)], None),  # words
        ([f"https://example.org/{i}" for i in range(8)], None),
        (list(range(8)), None),  # counts of anything
    ],
)
def test_an_id_of_another_name(values: list[Any], expected: str | None, tmp_path: Path) -> None:
    columns = {"image": [png(8, 8)] * len(values), "caption": CAPTIONS[:1] * len(values), "code": values}
    assert names(guess(tmp_path, columns)) == ("image", "caption", expected)
    columns |= {"image_id": list(range(len(values)))}
    assert names(guess(tmp_path, columns))[2] == "image_id", "what is called an id comes first"


def test_each_task_has_its_texts(tmp_path: Path) -> None:
    columns = {
        "image": [png(8, 8)] * 2,
        "caption": CAPTIONS,
        "question": ["is it red?", "is it a dog?"],
        "masked": ["a [MASK] car", "two [MASK] here"],
    }
    found = [names(guess(tmp_path, columns, task))[1] for task in ("score", "answer", "fill")]  # type: ignore[arg-type]
    assert found == ["caption", "question", "masked"]


@pytest.mark.parametrize(
    ("uris", "allow"),
    [
        (["a.jpg", "b/c.jpg"], []),
        (["https://a.example/1.jpg?w=9", "https://a.example/2.jpg"], ["https://a.example/"]),
        (["s3://b/1.jpg", "s3://c/2.jpg"], ["s3://b/", "s3://c/"]),
        ([f"https://h{i}.example/x.jpg" for i in range(9)], ["https://*"]),
        ([f"http{'s' * (i % 2)}://h{i}.example/x.jpg" for i in range(9)], ["https://*", "http://*"]),
        (["/data/a/1.jpg", "/data/b/2.jpg"], ["/data/"]),
        (["data:image/png;base64,iVBORw0K"], []),
    ],
)
def test_prefixes_that_must_be_allowed(uris: list[str], allow: list[str], tmp_path: Path) -> None:
    assert guess(tmp_path, {"image": uris}).allow == allow


def test_texts_that_are_not_utf8_are_no_obstacle(tmp_path: Path) -> None:
    texts = pa.array([b"a caf\xe9 here", b"a red car"]).view(pa.string())
    found = guess(tmp_path, {"image": [png(8, 8)] * 2, "text": texts})
    assert names(found) == ("image", "text", None)
    assert found.image
    assert found.image.why == "encoded images in 2 of the first 2 rows"
