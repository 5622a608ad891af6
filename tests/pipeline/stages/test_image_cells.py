"""Image cells: bytes, URIs, structs, lists and nulls become bytes, or the reason why there are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline import JobConfig
from pipeline.common.error_codes import Failure
from pipeline.stages.image_cells import attach_images, image_cells, numbered
from pipeline.stages.output_rows import OutputRow

NULL = Failure("image_null", "the image is null")
TIMEOUT, CORRUPT = Failure("fetch_timeout", "30 s"), Failure("image_corrupt", "damaged")
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def cells(column: pa.Array | list[Any], task: str = "score", **keys: Any) -> list[list[Any]]:
    values = {"input": {"path": "/in", **keys}, "model": "m", "output": {"path": "/nowhere/out"}}
    job = JobConfig.parse(None, {**values, "task": task, "limits": {"image_bytes": 5}})
    return image_cells(pa.table({"image": column}), job)


def test_bytes() -> None:
    found = cells([b"12345", None, b"", b"123456"])
    assert found[:3] == [[b"12345"], [NULL], [b""]]
    [too_large] = found[3]
    assert too_large.reason == "image_too_large"


def test_uris() -> None:
    assert cells(["a", None, "s3://b/a"]) == [["a"], [NULL], ["s3://b/a"]]


def test_structs() -> None:
    values = [{"bytes": b"x", "path": "a"}, {"bytes": None, "path": "a"}, {"bytes": None, "path": None}, None]
    assert cells(pa.array(values, STRUCT)) == [[b"x"], ["a"], [NULL], [NULL]]


def test_lists_and_several_columns() -> None:
    assert cells([["a", None], [], None], "reason") == [["a", NULL], [], [NULL]]
    values = {"input": {"path": "in/", "image": ["left", "right"]}, "model": "m", "output": {"path": "out/"}}
    job = JobConfig.parse("reason", values)
    assert image_cells(pa.table({"left": [b"1"], "right": ["a"]}), job) == [[b"1", "a"]]


def test_a_uri_that_is_no_utf8() -> None:
    [[failure]] = cells(pa.array([b"\xff"]).view(pa.string()))
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
