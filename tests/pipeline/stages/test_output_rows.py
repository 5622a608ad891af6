"""The rows of the output: texts and lists of texts, what is carried, and how failures are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import JobConfig
from pipeline.common.error_codes import Failure
from pipeline.config.limits import LimitsConfig
from pipeline.stages.output_rows import (
    OutputRow,
    TextColumns,
    carried_columns,
    carried_names,
    expand_texts,
    to_table,
    tokenize,
    without_unread,
)

NULL = Failure("text_null", "the text is null")
EMPTY_LIST = Failure("text_empty", "the list of texts is empty")


def config(keep_image: bool = False, **keys: Any) -> JobConfig:
    values = {"input": {"path": "in/", **keys}, "model": "m", "output": {"path": "out/", "keep_image": keep_image}}
    return JobConfig.parse("score", values)


def expanded(window: pa.Table, columns: list[str]) -> list[OutputRow]:
    return expand_texts(window, columns, LimitsConfig(), {})


class Letters:
    """A preprocessor whose tokens are the letters of a text; an empty one has one token too."""

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        words = [text or "." for text in texts]
        ids = np.array([ord(letter) for word in words for letter in word], np.int64)
        cut = np.array(["…" in word for word in words], bool)
        return ids, np.array([len(word) for word in words], np.int64), cut


def test_one_row_for_each_text() -> None:
    rows = expanded(pa.table({"t": ["a", None, " "]}), ["t"])
    assert [row.texts for row in rows] == [["a"], [NULL], [Failure("text_empty", "the text is ' '")]]
    assert [row.failure for row in rows] == [None, *(row.texts[0] for row in rows[1:])]
    assert [(row.window_row, row.text_index) for row in rows] == [(0, None), (1, None), (2, None)]


def test_several_columns_of_texts_are_rows_as_those_of_a_list() -> None:
    window = pa.table({"a": ["x", None, "z"], "b": ["y", "w", "q"], "n": [1, 2, 3]})
    failures = {2: Failure("row_too_large", "why")}
    rows = expand_texts(window, ["a", "b"], LimitsConfig(), failures, are_rows=True)
    assert [(row.window_row, row.text_index, row.texts) for row in rows] == [
        (0, 0, ["x"]),
        (0, 1, ["y"]),
        (1, 0, [Failure("text_null", "a: the text is null")]),
        (1, 1, ["w"]),
        (2, None, [failures[2]]),
    ]
    table = to_table(window, rows, np.zeros((5, 1), np.int64), TextColumns(["a", "b"], False, True))
    assert table["text_index"].to_pylist() == [0, 1, 0, 1, None]
    assert table["__texts"].to_pylist() == [2, 2, 2, 2, 1]
    assert table["a"].to_pylist() == ["x", "x", None, None, "z"], "the columns stay as they are"
    assert [error is None for error in table["error"].to_pylist()] == [True, True, False, True, False]


def test_lists_of_texts() -> None:
    rows = expanded(pa.table({"t": [["a", None], [], None, ["b"]]}), ["t"])
    assert [(row.window_row, row.text_index, row.raw_text) for row in rows] == [
        (0, 0, "a"),
        (0, 1, None),
        (1, None, None),
        (2, None, None),
        (3, 0, "b"),
    ]
    assert [row.failure for row in rows] == [None, NULL, EMPTY_LIST, NULL, None]


def test_several_columns_of_texts() -> None:
    rows = expanded(pa.table({"s": ["a", None, None], "t": ["b", "c", " "]}), ["s", "t"])
    assert [row.failure for row in rows] == [None, None, Failure("text_null", "s: the text is null")]
    assert rows[1].texts == [Failure("text_null", "s: the text is null"), "c"]
    assert rows[1].reported_failure == rows[1].texts[0]


def test_texts_that_are_no_utf8() -> None:
    stored = pa.array([b"a", b"\xff"]).view(pa.string())
    rows = expanded(pa.table({"t": stored}), ["t"])
    assert rows[0].failure is None
    assert rows[1].failure is not None
    assert rows[1].failure.reason == "text_invalid"
    lists = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), stored)
    first, second = expanded(pa.table({"t": lists}), ["t"])
    assert (first.texts, first.raw_text) == (["a"], "a")
    assert second.failure is not None
    assert (second.failure.reason, second.raw_text) == ("text_invalid", None)


def test_rows_that_could_not_be_read() -> None:
    unread = pa.array(
        [None, {"reason": "row_too_large", "detail": "d"}],
        pa.struct([("reason", pa.string()), ("detail", pa.string())]),
    )
    window, failures = without_unread(pa.table({"t": [["a"], ["b", "c"]], "__unread": unread}))
    assert (window.column_names, failures) == (["t"], {1: Failure("row_too_large", "d")})
    rows = expand_texts(window, ["t"], LimitsConfig(), failures)
    assert [(row.window_row, row.text_index, row.failure) for row in rows] == [(0, 0, None), (1, None, failures[1])]
    assert without_unread(window) == (window, {})


def test_lists_and_texts_beyond_the_limits() -> None:
    limits = LimitsConfig(texts_per_row=2, text_bytes=3)
    rows = expand_texts(pa.table({"t": [["a", "bbbb"], ["a", "b", "c"]]}), ["t"], limits, {})
    assert [(row.window_row, row.failure and row.failure.reason) for row in rows] == [
        (0, None),
        (0, "text_too_long"),
        (1, "texts_too_many"),
    ]


def test_images_alone_have_a_text_each() -> None:
    rows = expanded(pa.table({"x": [1, 2]}), [])
    assert [(row.window_row, row.failure) for row in rows] == [(0, None), (1, None)]


def test_tokens_are_those_of_the_texts_that_are_read() -> None:
    rows = [
        OutputRow(0, None, ["ab", NULL]),
        OutputRow(1, None, ["x", "y"], failure=EMPTY_LIST),
        OutputRow(2, None, [NULL, "c"]),
    ]
    tokenize(rows, Letters())  # type: ignore[arg-type]
    ids = [[None if one is None else "".join(map(chr, one)) for one in row.token_ids] for row in rows]
    assert ids == [["ab", None], [None, None], [None, "c"]]
    assert [row.truncated for row in rows] == [False, None, False]
    [cut] = [OutputRow(0, None, ["a", "b…"])]
    tokenize([cut], Letters())  # type: ignore[arg-type]
    assert cut.truncated
    tokenize([], Letters())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({}, ["n", "text", "m"]),
        ({"keep_image": True}, ["n", "image", "text", "m"]),
        ({"columns": ["n"]}, ["n", "m"]),
        ({"columns": ["n", "image"]}, ["n", "m"]),
        ({"columns": ["n", "image"], "keep_image": True}, ["n", "image", "m"]),
        ({"columns": [], "id": "n"}, ["m"]),
        ({"columns": [], "keep_image": True}, ["n", "m"]),
    ],
)
def test_columns_that_go_on(keys: dict[str, Any], names: list[str]) -> None:
    """The columns that are read; m is one that the job itself needs."""
    read = pa.schema([("n", pa.int64()), ("image", pa.binary()), ("text", pa.string()), ("m", pa.int64())])
    assert carried_names(read, config(**keys)) == names


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_uris_of_images_go_on(kind: pa.DataType) -> None:
    read = pa.schema([("n", pa.int64()), ("image", kind), ("text", pa.string())])
    assert carried_names(read, config()) == ["n", "image", "text"]
    assert carried_names(read, config(columns=["n"])) == ["n"]
    assert carried_names(read, config(columns=["n", "image"])) == ["n", "image"]


def test_row_ids() -> None:
    window = pa.table(
        {"n": [5, 6], "row_hash": pa.array([1, -2], pa.int64()), "image": [b"a", b"b"], "text": ["x", "y"]}
    )
    assert carried_columns(window, config()).to_pylist() == [
        {"n": 5, "text": "x", "row_id": 1},
        {"n": 6, "text": "y", "row_id": -2},
    ]
    assert carried_columns(window, config(id="n"))["row_id"].to_pylist() == [5, 6]


def test_the_table_of_a_micro_batch() -> None:
    window = pa.table({"n": [5, 6], "text": [["a", None], []]})
    rows = expanded(window, ["text"])
    table = to_table(window, rows[::-1], np.array([[-1], [-1], [0]]), TextColumns(["text"], True))
    assert table.select(["n", "text", "text_index", "__texts", "__pair0"]).to_pylist() == [
        {"n": 6, "text": None, "text_index": None, "__texts": 1, "__pair0": -1},
        {"n": 5, "text": None, "text_index": 1, "__texts": 2, "__pair0": -1},
        {"n": 5, "text": "a", "text_index": 0, "__texts": 2, "__pair0": 0},
    ]
    assert table["error"].to_pylist() == ["text_empty", "text_null", None]
    assert table["error_detail"].to_pylist() == [EMPTY_LIST.detail, NULL.detail, None]
    plain = to_table(window.select(["n"]), rows, np.array([[0, 1]] * 3), TextColumns(["text"], True))
    assert plain.column_names == [
        *("n", "text_index", "text_truncated", "__texts", "error", "error_detail", "__pair0", "__pair1")
    ]
    assert (
        "text_index"
        not in to_table(window, rows, np.zeros((3, 1), np.int64), TextColumns(["text"], False)).column_names
    )
