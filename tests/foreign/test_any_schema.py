"""Random Arrow schemas, written as Parquet: a job reads equal values, or refuses the table before any work."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.common.row_ranges import RowSet
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table
from tests.foreign.test_tables import config

SCHEMAS = int(os.environ.get("FOREIGN_SCHEMAS", "40"))
FLAT = [
    pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.string_view(),
    pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3), pa.date32(), pa.date64(), pa.time32("s"),
    pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.timestamp("s"), pa.timestamp("ms", "UTC"),
    pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.duration("s"), pa.duration("ns"),
    pa.decimal128(9, 2), pa.decimal128(38, 10), pa.decimal256(50, 3), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int16(), pa.int64()), pa.uuid(), pa.json_(),
]  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(["a", "A", "a.b", "a b", "row_source", "row_id", "score", "__row_key", "é", "x=y", "", "☃"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6),
)


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    """Types of lists, structs and maps."""
    keys = st.sampled_from([pa.string(), pa.int32(), pa.large_string()])
    return st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(pa.list_view),
        inner.map(lambda kind: pa.list_(kind, 2)),
        st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda one: one[0]).map(pa.struct),
        st.tuples(keys, inner).map(lambda one: pa.map_(*one)),
    )


INNER = [kind for kind in FLAT if not pa.types.is_dictionary(kind) and not isinstance(kind, pa.BaseExtensionType)]
TYPES = st.sampled_from(FLAT) | st.recursive(st.sampled_from(INNER), nested, max_leaves=4)


def integers(kind: pa.DataType) -> st.SearchStrategy[int]:
    """Whole numbers that a type stores, times included."""
    times = pa.types.is_time(kind)
    bits = kind.bit_width
    if times:
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        return st.integers(0, 86_400 * per_second - 1)
    if pa.types.is_unsigned_integer(kind):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Python values of a type, as `pa.array` takes them."""
    types = pa.types
    if types.is_null(kind):
        return st.none()
    if types.is_boolean(kind):
        return st.booleans()
    if types.is_date(kind):
        return st.integers(-100_000, 100_000).map(lambda day: day * (86_400_000 if kind.bit_width == 64 else 1))
    if types.is_timestamp(kind) or types.is_duration(kind):
        most = 2**63 - 1 if kind.unit in ("us", "ns") else 2**40
        return st.integers(-most, most)
    if types.is_integer(kind) or types.is_time(kind):
        return integers(kind)
    if types.is_floating(kind):
        return st.floats(allow_nan=False, width=kind.bit_width)
    if types.is_decimal(kind):
        most = 10 ** (kind.precision - kind.scale) - 1
        return st.decimals(-most, most, allow_nan=False, places=kind.scale)
    if types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return st.text(st.characters(codec="utf-8"), max_size=5)
    if types.is_struct(kind):
        return st.none() | st.fixed_dictionaries({one.name: st.none() | values(one.type) for one in kind})
    if types.is_map(kind):
        entry = st.tuples(values(kind.key_type), st.none() | values(kind.item_type))
        return st.none() | st.lists(entry, max_size=2, unique_by=lambda one: one[0])
    if types.is_fixed_size_list(kind):
        return st.none() | st.lists(values(kind.value_type), min_size=kind.list_size, max_size=kind.list_size)
    if types.is_nested(kind):
        return st.none() | st.lists(st.none() | values(kind.value_type), max_size=3)
    return st.binary(max_size=5)


def arrays(kind: pa.DataType, rows: int) -> st.SearchStrategy[pa.Array]:
    """Arrays of a type, nulls among them."""
    if isinstance(kind, pa.BaseExtensionType):
        if kind == pa.json_():
            return st.lists(st.sampled_from(['{"a": 1}', "null", "[]"]), min_size=rows, max_size=rows).map(
                lambda drawn: pa.array(drawn, pa.string()).cast(kind)
            )
        return arrays(kind.storage_type, rows).map(lambda stored: pa.ExtensionArray.from_storage(kind, stored))
    if pa.types.is_dictionary(kind):
        return arrays(kind.value_type, rows).map(lambda drawn: drawn.dictionary_encode().cast(kind))
    return st.lists(st.none() | values(kind), min_size=rows, max_size=rows).map(lambda drawn: pa.array(drawn, kind))


def comparable(array: pa.Array) -> list[Any]:
    """Return values that are equal if and only if those of two arrays are, whatever their units and encodings."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return comparable(array.storage)
    if pa.types.is_dictionary(kind):
        return comparable(array.dictionary_decode())
    if pa.types.is_null(kind):
        return [None] * len(array)
    if pa.types.is_temporal(kind):
        unit = "d" if pa.types.is_date32(kind) else "ms" if pa.types.is_date64(kind) else kind.unit
        factor = {"d": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
        numbers = array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
        return [None if one is None else one * factor for one in numbers]
    if pa.types.is_struct(kind):
        fields = [comparable(one) for one in array.flatten()]
        rows = zip(*fields, strict=True) if fields else [()] * len(array)
        return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]
    if pa.types.is_map(kind):
        entries = [None if one.as_py is None or not one.is_valid else one.values for one in array]
        return [None if one is None else comparable(one) for one in entries]
    if pa.types.is_nested(kind):
        return [comparable(one.values) if one.is_valid else None for one in array]
    return array.to_pylist()


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table of images and texts, and columns of any type."""
    rows = draw(st.integers(1, 6))
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    columns = {name: draw(TYPES.flatmap(lambda kind: arrays(kind, rows))) for name in names}
    both = {"image": pa.array(["a.png"] * rows), "text": pa.array(["a"] * rows)}
    return pa.table({**columns, **both})


@settings(max_examples=SCHEMAS, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(), group=st.integers(1, 6), store_schema=st.booleans(), dictionary=st.booleans())
def test_values_are_equal_or_refused(table: pa.Table, group: int, store_schema: bool, dictionary: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.parquet")
        try:
            pq.write_table(table, path, row_group_size=group, store_schema=store_schema, use_dictionary=dictionary)
            in_file = pq.ParquetFile(path).read()
        except (pa.ArrowException, OSError):
            return event("pyarrow itself cannot write or read it")
        try:
            opened = open_table(config(path))
        except ConfigError as error:
            assert "\n" not in str(error)
            return event("refused before work")
        plan = read_plan(opened, 4)
        read = pa.concat_tables(part for one in opened.unread(RowSet.none()) for part in one.read(plan))
        assert read.num_rows == opened.rows == table.num_rows
        assert set(read.column_names) == {*table.column_names, "__row_key", "row_hash"}
        written = table if store_schema else in_file  # without Arrow's schema a duration is a number
        for name in table.column_names:
            expected, found = (one[name].combine_chunks() for one in (written, read))
            assert comparable(found) == comparable(expected), (name, expected.type, found.type)
    return event("equal")
