"""One schema for all files: types that widen, types that have nothing in common, and the rows of a file in it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.tables.schemas import (
    as_text,
    cast,
    conform,
    decoded,
    is_bytes,
    is_convertible,
    is_legible,
    is_text,
    plain,
    require_column,
    unify,
    unify_readable,
)

NUMBERS = [pa.int8(), pa.int32(), pa.int64(), pa.uint16(), pa.float32(), pa.float64()]


def of(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from(NUMBERS), min_size=1), min_size=1, max_size=4))
def test_numbers_take_the_wider_type_and_no_column_is_lost(columns: list[dict[str, pa.DataType]]) -> None:
    schemas = [of(**one) for one in columns]
    merged = unify([str(i) for i in range(len(schemas))], schemas)
    assert set(merged.names) == {name for one in columns for name in one}
    for schema in schemas:
        rows = conform(schema.empty_table(), merged, {}, "a")
        assert rows.schema == merged
    for name in merged.names:
        kinds = [one[name] for one in columns if name in one]
        assert (
            merged.field(name).type
            == pa.unify_schemas([of(a=kind) for kind in kinds], promote_options="permissive").field(0).type
        )


def test_a_dictionary_and_its_values() -> None:
    coded = pa.dictionary(pa.int8(), pa.string())
    assert unify(["a", "b"], [of(x=coded), of(x=pa.string())]) == of(x=pa.string())
    assert unify(["a", "b"], [of(x=pa.string()), of(x=coded)]) == of(x=pa.string())
    assert unify(["a", "b"], [of(x=coded), of(x=coded)]) == of(x=coded)


def test_types_without_a_common_one() -> None:
    schemas = [of(x=pa.int64(), y=pa.string()), of(y=pa.binary(), z=pa.bool_()), of(x=pa.string(), y=pa.string())]
    merged, unreadable = unify_readable(["a", "b", "c"], schemas)
    assert merged == of(z=pa.bool_())
    assert unreadable == {
        "y": "column 'y' is binary in 'b' and string in other files",
        "x": "column 'x' is string in 'c' and int64 in other files",
    }
    with pytest.raises(ConfigError) as caught:
        unify(["a", "b", "c"], schemas)
    assert str(caught.value) == "input.path: column 'y' is binary in 'b' and string in other files"


def test_metadata_of_files_does_not_matter() -> None:
    assert unify(["a", "b"], [of(x=pa.int8()).with_metadata({"by": "spark"}), of(x=pa.int8())]).metadata is None


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (pa.string_view(), pa.string()),
        (pa.binary_view(), pa.binary()),
        (pa.list_view(pa.int8()), pa.list_(pa.int8())),
        (pa.large_list_view(pa.string_view()), pa.large_list(pa.string())),
        (pa.list_(pa.string(), 2), pa.list_(pa.string())),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int8(), 2)),
        (pa.struct([("a", pa.string_view()), ("b", pa.int8())]), pa.struct([("a", pa.string()), ("b", pa.int8())])),
        (pa.map_(pa.string(), pa.binary_view()), pa.map_(pa.string(), pa.binary())),
        (pa.dictionary(pa.int8(), pa.string_view()), pa.dictionary(pa.int8(), pa.string())),
        (pa.large_string(), pa.large_string()),
    ],
)
def test_types_as_which_values_are_read(kind: pa.DataType, read: pa.DataType) -> None:
    assert plain(kind) == read
    assert plain(read) == read


def test_list_views_of_nested_values_are_not_converted() -> None:
    assert is_convertible(pa.list_view(pa.int8()))
    assert not is_convertible(pa.list_view(pa.list_(pa.int8())))
    assert not is_convertible(pa.struct([("a", pa.list_view(pa.int8()))]))
    assert is_convertible(pa.list_(pa.struct([("a", pa.string_view())])))


def test_texts_that_are_stored_as_bytes() -> None:
    assert as_text(pa.binary()) == pa.string()
    assert as_text(pa.large_list(pa.large_binary())) == pa.large_list(pa.large_string())
    assert as_text(pa.dictionary(pa.int8(), pa.binary())) == pa.dictionary(pa.int8(), pa.string())
    assert as_text(pa.list_(pa.int8())) == pa.list_(pa.int8())
    assert is_text(pa.large_string())
    assert is_bytes(pa.large_binary())
    assert not is_text(pa.binary())
    assert not is_bytes(pa.binary(3))
    assert decoded(pa.dictionary(pa.int8(), pa.binary())) == pa.binary()


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("target", [pa.string(), pa.large_string()])
def test_bytes_that_are_no_utf8_fail_where_they_are_read(kind: pa.DataType, target: pa.DataType) -> None:
    texts = cast(pa.array([b"a", b"\xff", None], kind), pa.field("x", target), "f")
    assert texts.type == target
    assert (texts[0].as_py(), texts[2].as_py()) == ("a", None)
    with pytest.raises(UnicodeDecodeError):
        texts[1].as_py()


@given(
    st.lists(st.none() | st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=3), max_size=3)),
    st.sampled_from([pa.list_, pa.large_list]),
    st.integers(0, 2),
    st.booleans(),
)
def test_lists_of_texts_that_are_stored_as_bytes(values: list[Any], make: Any, begin: int, coded: bool) -> None:
    stored = [None if one is None else [None if t is None else t.encode() for t in one] for one in values]
    array = pa.array(stored, make(pa.binary())).slice(begin)
    texts = cast(array, pa.field("x", make(pa.string())), "f")
    assert texts.to_pylist() == values[begin:]
    if coded:
        flat = pa.array([t for one in stored if one for t in one], pa.binary()).dictionary_encode()
        kind = pa.dictionary(flat.type.index_type, pa.string())
        assert cast(flat, pa.field("x", kind), "f").to_pylist() == [t for one in values if one for t in one]


def test_rows_in_the_columns_of_the_table() -> None:
    table = pa.table({"b": pa.array([1, 2], pa.int8()), "left out": [0, 0]})
    schema = of(a=pa.string(), b=pa.int64(), year=pa.int64())
    rows = conform(table, schema, {"year": 2026}, "f")
    assert rows.schema == schema
    assert rows.to_pylist() == [{"a": None, "b": 1, "year": 2026}, {"a": None, "b": 2, "year": 2026}]
    assert conform(table, pa.schema([]), {}, "f").num_rows == 2
    assert conform(table, of(p=pa.string()), {"p": None}, "f").to_pylist() == [{"p": None}] * 2


def test_a_value_that_does_not_fit_names_column_and_file() -> None:
    with pytest.raises(ConfigError) as caught:
        conform(pa.table({"n": [2**53 + 1]}), of(n=pa.float64()), {}, "b.parquet")
    assert str(caught.value) == (
        "input.path: column 'n' of 'b.parquet' is int64, in other files double: Integer value 9007199254740993 not in "
        "range: -9007199254740992 to 9007199254740992; leave it out of input.columns, or write the files with one type"
    )


def test_a_column_that_is_not_there() -> None:
    schema = of(caption=pa.string(), width=pa.int64())
    require_column(schema, "input.text", "width")
    with pytest.raises(ConfigError) as caught:
        require_column(schema, "input.text", "captoin")
    assert str(caught.value) == (
        "input.text: the table has no column 'captoin'; did you mean 'caption'? it has caption, width"
    )
    with pytest.raises(ConfigError) as caught:
        require_column(schema, "input.id", "zzz")
    assert str(caught.value) == "input.id: the table has no column 'zzz'; it has caption, width"


@pytest.mark.parametrize(
    ("kind", "legible"),
    [
        (pa.string(), True),
        (pa.date32(), True),
        (pa.dictionary(pa.int8(), pa.large_string()), True),
        (pa.dictionary(pa.int8(), pa.binary()), False),
        (pa.large_binary(), False),
        (pa.binary(16), False),
        (pa.list_(pa.string()), False),
        (pa.struct([("a", pa.int8())]), False),
    ],
)
def test_values_that_a_person_can_read(kind: pa.DataType, legible: bool) -> None:
    assert is_legible(kind) is legible
