"""Image cells: bytes, URIs, structs, lists and nulls become bytes, or the reason why there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import JobConfig
from pipeline.common.error_codes import Failure
from pipeline.images.fetch import Fetched
from pipeline.stages.image_cells import attach_images, images_of_rows, numbered
from pipeline.stages.output_rows import OutputRow

NULL = Failure("image_null", "the image is null")
TIMEOUT, CORRUPT = Failure("fetch_timeout", "30 s"), Failure("image_corrupt", "damaged")
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def images(folder: Path, window: pa.Table, task: str = "score", **keys: Any) -> tuple[list[list[Fetched]], int]:
    values = {"input": {"path": str(folder), **keys}, "model": "m", "output": {"path": "/nowhere/out"}}
    job = JobConfig.parse(None, {**values, "task": task, "limits": {"image_bytes": 5}})
    return images_of_rows(window, job, str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of three bytes."""
    (tmp_path / "a").write_bytes(b"abc")
    return tmp_path


def test_bytes(folder: Path) -> None:
    found, fetched = images(folder, pa.table({"image": [b"12345", None, b"", b"123456"]}))
    assert found[:3] == [[b"12345"], [NULL], [b""]]
    [too_large] = found[3]
    assert isinstance(too_large, Failure)
    assert too_large.reason == "image_too_large"
    assert fetched == 0


def test_uris(folder: Path) -> None:
    found, fetched = images(folder, pa.table({"image": ["a", None, "a", "nowhere", "/etc/passwd"]}))
    assert found[:3] == [[b"abc"], [NULL], [b"abc"]]
    assert [cell.reason for row in found[3:] for cell in row if isinstance(cell, Failure)] == [
        "image_missing",
        "uri_not_allowed",
    ]
    assert fetched == 3, "one file, once"


def test_structs(folder: Path) -> None:
    cells = [{"bytes": b"x", "path": "nowhere"}, {"bytes": None, "path": "a"}, {"bytes": None, "path": None}, None]
    found, _ = images(folder, pa.table({"image": pa.array(cells, STRUCT)}))
    assert found == [[b"x"], [b"abc"], [NULL], [NULL]]


def test_lists_and_several_columns(folder: Path) -> None:
    found, _ = images(folder, pa.table({"image": [["a", None], [], None]}), "reason")
    assert found == [[b"abc", NULL], [], [NULL]]
    window = pa.table({"left": [b"1"], "right": ["a"]})
    assert images(folder, window, "reason", image=["left", "right"])[0] == [[b"1", b"abc"]]


def test_a_uri_that_is_no_utf8(folder: Path) -> None:
    [[failure]], _ = images(folder, pa.table({"image": pa.array([b"\xff"]).view(pa.string())}))
    assert isinstance(failure, Failure)
    assert failure.reason == "uri_not_allowed"


def test_distinct_images_and_failures_of_rows() -> None:
    rows = [OutputRow(i, None, ["t"]) for i in (0, 0, 1, 2)]
    distinct = attach_images(rows, [[b"x", b"y"], [b"y", CORRUPT], [b"x"]])
    assert distinct == [b"x", b"y"]
    assert [row.images for row in rows] == [[0, 1], [0, 1], [1], [0]]
    assert [row.failure for row in rows] == [None, None, Failure("image_corrupt", "image 2: damaged"), None]


@pytest.mark.parametrize(
    ("text", "image", "told"),
    [(NULL, CORRUPT, NULL), (NULL, TIMEOUT, TIMEOUT), (None, CORRUPT, CORRUPT), (TIMEOUT, CORRUPT, TIMEOUT)],
)
def test_a_failure_that_may_pass_takes_precedence(text: Failure | None, image: Failure, told: Failure) -> None:
    row = OutputRow(0, None, ["t"], failure=text)
    attach_images([row], [[image]])
    assert row.failure == told


def test_numbers_of_images() -> None:
    assert numbered(CORRUPT, 2, 3) == Failure("image_corrupt", "image 2: damaged")
    assert numbered(CORRUPT, 1, 1) == CORRUPT
