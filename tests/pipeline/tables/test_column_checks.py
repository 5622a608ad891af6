"""What the columns must be that a config names, and which columns are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.tables.column_checks import Columns, check_columns

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
GOOD = {"image": pa.binary(), "text": pa.string(), "n": pa.int64()}


def check(kinds: dict[str, pa.DataType], task: str = "score", **keys: Any) -> Columns:
    values = {"input": {"path": "in/", **keys}, "model": "zoo://scenes", "output": {"path": "out/"}}
    return check_columns(pa.schema(list(kinds.items())), JobConfig.parse(None, {"task": task, **values}))


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.string(), pa.large_string(), STRUCT, pa.dictionary(pa.int8(), pa.string())],
)
def test_images(kind: pa.DataType) -> None:
    assert check({**GOOD, "image": kind}) == Columns(["image", "text", "n"], False)


@pytest.mark.parametrize("kind", [pa.int64(), pa.list_(pa.binary()), pa.struct([("bytes", pa.binary())]), pa.binary(3)])
def test_what_is_no_image(kind: pa.DataType) -> None:
    with pytest.raises(ConfigError) as caught:
        check({**GOOD, "image": kind})
    assert str(caught.value) == (
        f"input.image: column 'image' is {kind}; an image is binary, a string with its URI, or a struct of both as "
        "{bytes, path}"
    )


def test_lists_of_images_are_for_reason_alone() -> None:
    lists = {**GOOD, "image": pa.list_(pa.string())}
    assert check(lists, "reason").names == ["image", "text", "n"]
    several = {"left": pa.binary(), "right": STRUCT, "text": pa.string()}
    assert check(several, "reason", image=["left", "right"]) == Columns(["left", "right", "text"], False)
    with pytest.raises(ConfigError, match=r"^input\.image: column 'left' is list<.*>; an image is binary"):
        check({"left": pa.list_(pa.binary()), "right": STRUCT, "text": pa.string()}, "reason", image=["left", "right"])


@pytest.mark.parametrize(
    ("kind", "lists"),
    [
        (pa.string(), False),
        (pa.large_string(), False),
        (pa.dictionary(pa.int8(), pa.string()), False),
        (pa.list_(pa.string()), True),
        (pa.large_list(pa.large_string()), True),
    ],
)
def test_texts(kind: pa.DataType, lists: bool) -> None:
    assert check({**GOOD, "text": kind}).text_is_list is lists


@pytest.mark.parametrize("kind", [pa.int64(), pa.binary(), pa.list_(pa.int8()), pa.list_(pa.list_(pa.string()))])
def test_what_is_no_text(kind: pa.DataType) -> None:
    with pytest.raises(ConfigError) as caught:
        check({**GOOD, "text": kind})
    assert str(caught.value) == f"input.text: column 'text' is {kind}; a text is a string or a list of strings"


def test_lists_of_texts_stand_alone() -> None:
    kinds = {"image": pa.binary(), "a": pa.list_(pa.string()), "b": pa.string()}
    values = {"input": {"path": "in/", "text": {"score": "a", "answer": "b"}}, "output": {"path": "out/"}}
    job = JobConfig.parse(None, {**values, "tasks": ["score", "answer"], "model": "m"})
    with pytest.raises(ConfigError) as caught:
        check_columns(pa.schema(list(kinds.items())), job)
    assert str(caught.value) == (
        "input.text: lists of texts come from one column; give that column alone, without tasks and others"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"image": "imge"}, "input.image: the table has no column 'imge'; did you mean 'image'? it has image, text, n"),
        ({"text": "x"}, "input.text: the table has no column 'x'; it has image, text, n"),
        ({"id": "m"}, "input.id: the table has no column 'm'; it has image, text, n"),
        ({"columns": ["n", "q"]}, "input.columns: the table has no column 'q'; it has image, text, n"),
        (
            {"image": None, "features": "boxes"},
            "input.features: the table has no column 'boxes'; it has image, text, n",
        ),
        (
            {"image": None, "features": "n"},
            "input.features: column 'n' is int64; region features are lists of regions, each a list of floats",
        ),
    ],
)
def test_columns_that_are_missing(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(GOOD, **keys)
    assert str(caught.value) == message


def test_what_is_read() -> None:
    kinds = {"unused": pa.int8(), **GOOD}
    assert check(kinds).names == ["unused", "image", "text", "n"]
    assert check(kinds, columns=[]).names == ["image", "text"]
    assert check(kinds, columns=["unused"], id="n").names == ["unused", "image", "text", "n"]


def test_names_that_the_job_adds() -> None:
    with pytest.raises(ConfigError) as caught:
        check({**GOOD, "score": pa.float32()})
    assert str(caught.value) == (
        "input.columns: the table has a column 'score', a name that the job adds; list the columns to carry without it"
    )
    assert check({**GOOD, "score": pa.float32()}, columns=["n"]).names == ["image", "text", "n"]
    with pytest.raises(ConfigError, match=r"list the columns to carry without it \(or set input\.id=row_id\)$"):
        check({**GOOD, "row_id": pa.int64()})
    assert check({**GOOD, "row_id": pa.int64()}, id="row_id").names == ["image", "text", "n", "row_id"]
    assert check({**GOOD, "answer": pa.string()}).names[-1] == "answer", "another task's"
