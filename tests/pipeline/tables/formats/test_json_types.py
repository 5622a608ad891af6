"""Types of JSON values: what they have in common, and what a column of them holds."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tables.formats.json_types import JsonColumns, TypeConflictError, has_null, infer, join, to_table

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, pa.null()),
        (True, pa.bool_()),
        (2**63 - 1, pa.int64()),
        (-(2**63), pa.int64()),
        (2**63, pa.uint64()),
        (2**64 - 1, pa.uint64()),
        (1.0, pa.float64()),
        ("", pa.string()),
        ([], pa.list_(pa.null())),
        ([None, 1, 2.5], pa.list_(pa.float64())),
        ([[], ["a"]], pa.list_(pa.list_(pa.string()))),
        ([{"a": 1}, {"b": "x"}], pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))),
    ],
)
def test_types(value: Any, kind: pa.DataType) -> None:
    assert infer(value) == kind


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**64, "18446744073709551616 is an integer beyond 64 bits; write it as a string"),
        (-(2**63) - 1, "-9223372036854775809 is an integer beyond 64 bits; write it as a string"),
        ([1, "a"], "a string here and a number before"),
        ([True, 1], "a number here and true or false before"),
        ([{}, []], "a list here and an object before"),
        ([{"a": {}}, {"a": [1]}], "a list here and an object before"),
    ],
)
def test_values_without_a_type(value: Any, message: str) -> None:
    with pytest.raises(TypeConflictError) as caught:
        infer(value)
    assert str(caught.value) == message


KINDS = st.recursive(
    st.sampled_from([pa.null(), pa.bool_(), pa.int64(), pa.uint64(), pa.float64(), pa.string()]),
    lambda inner: (
        inner.map(pa.list_)
        | st.dictionaries(st.sampled_from("xy"), inner, max_size=2).map(lambda one: pa.struct(list(one.items())))
    ),
    max_leaves=3,
)


@given(KINDS, KINDS, KINDS)
def test_joining_does_not_depend_on_the_order_of_types(a: pa.DataType, b: pa.DataType, c: pa.DataType) -> None:
    def joined(*kinds: pa.DataType) -> pa.DataType | None:
        try:
            found = kinds[0]
            for kind in kinds[1:]:
                found = join(found, kind)
        except TypeConflictError:
            return None
        return found

    def by_name(kind: pa.DataType | None) -> Any:
        """A type without the order of its fields, which is that in which they are seen."""
        if kind is not None and pa.types.is_struct(kind):
            return {one.name: by_name(one.type) for one in kind}
        return ["list", by_name(kind.value_type)] if kind is not None and pa.types.is_list(kind) else kind

    assert joined(a, a) == a
    assert by_name(joined(a, b)) == by_name(joined(b, a))
    assert by_name(joined(a, b, c)) == by_name(joined(c, b, a)) == by_name(joined(b, a, c))


def add(*rows: dict[str, Any]) -> JsonColumns:
    columns = JsonColumns()
    columns.add_rows([(f"line {number}", row) for number, row in enumerate(rows, 1)])
    return columns


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([1, "a"], "line 2: a string here and a number before"),
        (["a", None, {"b": 1}], "line 3: an object here and a string before"),
        (
            [0.5, 2**53 + 1],
            "line 2: integers such as 9007199254740993 stand beside fractions, and one number holds not both",
        ),
        (
            [-(2**53) - 1, 0.5],
            "line 2: integers such as -9007199254740993 stand beside fractions, and one number holds not both",
        ),
        ([-1, 2**63], "line 2: -1 and 9223372036854775808 have no common type of 64 bits"),
        ([{"x": False}, {"x": 0.0}], "line 2: a number here and true or false before"),
        ([[0.5, True]], "line 1: true or false here and a number before"),
        ([1, 2**64], "line 2: 18446744073709551616 is an integer beyond 64 bits; write it as a string"),
    ],
)
def test_columns_that_cannot_be_read_say_why(values: list[Any], fault: str) -> None:
    columns = add(*({"good": 1, "bad": value} for value in values))
    assert columns.unreadable == {"bad": fault}
    assert columns.schema == pa.schema([("good", pa.int64())])


@pytest.mark.parametrize("values", [[2**53, 0.5], [-(2**53), 0.5], [2**63, 1], [2**64 - 1, 0], [None, None], [{}, {}]])
def test_values_that_fit(values: list[Any]) -> None:
    columns = add(*({"a": value} for value in values))
    assert not columns.unreadable
    read = to_table([{"a": value} for value in values], columns.schema)["a"].to_pylist()
    assert read == [value or None if isinstance(value, dict) else value for value in values]


@settings(max_examples=50)
@given(st.lists(VALUES, min_size=1, max_size=3), st.lists(VALUES, min_size=1, max_size=3))
def test_files_merge_as_if_they_were_one(first: list[Any], second: list[Any]) -> None:
    def rows(values: list[Any]) -> list[dict[str, Any]]:
        return [{"a": value} for value in values]

    whole, merged = add(*rows(first + second)), JsonColumns()
    merged.merge(add(*rows(first)), "first.jsonl")
    merged.merge(add(*rows(second)), "second.jsonl")
    assert whole.unreadable.keys() == merged.unreadable.keys()
    assert whole.schema == merged.schema


def test_the_second_file_is_named_that_does_not_fit() -> None:
    columns = JsonColumns()
    columns.merge(add({"a": 1}), "first.jsonl")
    columns.merge(add({"a": "x"}), "second.jsonl")
    assert columns.unreadable == {"a": "second.jsonl: a string here and a number before"}


def test_tables_that_arrow_parsed_and_the_row_at_fault() -> None:
    columns = JsonColumns()
    assert columns.add_table(pa.table({"a": [1, 2], "b": ["x", "y"]})) == []
    assert columns.add_table(pa.table({"a": [0.5, 1.0], "b": [1, 2]})) == ["b"]
    assert columns.unreadable == {"b": ": a number here and a string before"}
    columns.locate(["b"], [("line 3", {"a": 0.5}), ("line 4", {"b": 1})])
    assert columns.unreadable == {"b": "line 4: a number here and a string before"}
    nested = pa.table({"a": pa.array([None, [[2**53 + 1]]], pa.list_(pa.list_(pa.int64())))})
    other = JsonColumns()
    assert other.add_table(nested) == []
    assert other.add_table(pa.table({"a": [[[0.5]]]})) == ["a"]


def test_objects_without_fields_are_null() -> None:
    columns = add({"a": {}, "b": [{}], "c": {"d": {}}})
    assert columns.schema == pa.schema(
        [("a", pa.null()), ("b", pa.list_(pa.null())), ("c", pa.struct([("d", pa.null())]))]
    )
    assert all(has_null(one.type) for one in columns.schema)
    assert not has_null(pa.list_(pa.int64()))
    assert to_table([{"a": {}, "b": [{}], "c": {"d": {}}}], columns.schema).to_pylist() == [
        {"a": None, "b": [None], "c": {"d": None}}
    ]


def test_rows_without_columns_are_counted() -> None:
    assert to_table([{}, {}, {}], pa.schema([])).num_rows == 3


@pytest.mark.parametrize("lone", ["\\ud83d", "\\udc80", "a\\udfff", "\\udcc3\\udca9"])
def test_a_lone_surrogate_is_no_text(lone: str) -> None:
    row = json.loads(f'{{"a": "{lone}", "b": ["{lone}"], "c": {{"d": "{lone}"}}}}')
    good = {"a": "\u00e9", "b": ["\u00e9"], "c": {"d": "\u00e9"}}
    table = to_table([row, good], add(good).schema)
    for name in ("a", "b"):
        with pytest.raises(UnicodeDecodeError):
            table[name][0].as_py()
        assert table[name][1].as_py() == good[name]
    assert "\ufffd" in table["c"][0].as_py()["d"]
    assert table["c"][1].as_py() == good["c"]
