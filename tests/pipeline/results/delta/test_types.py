"""Which types a Delta table has for columns, and how its columns change when new ones come."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline import ConfigError
from pipeline.results.delta.types import delta_schema, delta_type, evolve, holds

STRUCT = pa.struct([("a", pa.int64())])


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.float16(), pa.float32()),
        (pa.string_view(), pa.string()),
        (pa.binary(16), pa.binary()),
        (pa.uuid(), pa.binary()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("ms", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.decimal32(5, 2), pa.decimal128(5, 2)),
        (pa.list_(pa.uint16(), 3), pa.list_(pa.int32())),
        (pa.list_view(pa.null()), pa.list_(pa.string())),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.map_(pa.large_string(), pa.null()), pa.map_(pa.string(), pa.string())),
        (pa.struct([("a", pa.uint8())]), pa.struct([("a", pa.int16())])),
    ],
)
def test_types(kind: pa.DataType, wanted: pa.DataType) -> None:
    assert delta_type(kind) == wanted
    assert holds(wanted, kind) or pa.types.is_timestamp(kind)  # whose values are looked at


def test_all_that_does_not_fit_is_named_at_once() -> None:
    columns = pa.schema(
        [
            ("wait", pa.duration("s")),
            ("a b", pa.int64()),
            ("", pa.int64()),
            ("Score", pa.int64()),
            ("note", pa.string()),
            ("Note", pa.string()),
            ("meta", pa.struct([("x", pa.int8()), ("X", pa.int8()), ("at", pa.list_(pa.time32("s")))])),
            ("empty", pa.struct([])),
            ("times", pa.map_(pa.string(), pa.list_(pa.timestamp("ms")))),
            ("money", pa.decimal256(50, 2)),
            ("thousands", pa.decimal128(5, -3)),
        ]
    )
    with pytest.raises(ConfigError, match=r"^input.columns: a Delta table cannot hold") as raised:
        delta_schema(columns, ["score"])
    line = str(raised.value)
    for name in (
        "wait",
        "a b",
        "",
        "Score",
        "Note",
        "meta.x",
        "meta.X",
        "meta.at.element",
        "empty",
        "money",
        "thousands",
    ):
        assert f"{name!r}: " in line
    assert "'note': " not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("wide", "kind", "fits"),
    [
        (pa.int64(), pa.int32(), True),
        (pa.int32(), pa.int64(), False),
        (pa.int64(), pa.uint32(), True),
        (pa.int32(), pa.uint32(), False),
        (pa.float64(), pa.int32(), True),
        (pa.float64(), pa.int64(), False),
        (pa.float32(), pa.int32(), False),
        (pa.decimal128(20, 0), pa.uint64(), True),
        (pa.decimal128(18, 0), pa.int64(), False),
        (pa.decimal128(10, 2), pa.decimal128(9, 1), True),
        (pa.decimal128(10, 2), pa.decimal128(10, 1), False),
        (pa.string(), pa.int64(), False),
        (pa.int64(), pa.null(), True),
        (STRUCT, pa.struct([("a", pa.int8())]), True),
        (STRUCT, pa.struct([("a", pa.int8()), ("b", pa.int8())]), False),
        (pa.struct([("a", pa.int64()), ("b", pa.int8())]), STRUCT, True),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), False),
        (pa.timestamp("us"), pa.timestamp("ms"), False),
        (pa.list_(pa.int64()), pa.list_(pa.int8()), True),
        (pa.list_(pa.int64()), pa.int64(), False),
    ],
)
def test_which_types_hold_which(wide: pa.DataType, kind: pa.DataType, fits: bool) -> None:
    assert holds(wide, kind) == fits


def test_a_table_keeps_types_that_hold_the_new_values() -> None:
    table = pa.schema([("n", pa.int64()), ("x", pa.string()), ("old", pa.string())])
    columns = pa.schema([("n", pa.int32()), ("x", pa.int64()), ("new", pa.int16())])
    wanted = [("n", pa.int64()), ("x", pa.int64()), ("old", pa.string()), ("new", pa.int16())]
    assert evolve(table, columns) == pa.schema(wanted)


def test_a_column_in_another_spelling_is_refused() -> None:
    with pytest.raises(ConfigError, match="would hold 'Note' beside 'note', 'N' beside 'n': rename"):
        evolve(
            pa.schema([("note", pa.string()), ("n", pa.int8())]), pa.schema([("Note", pa.string()), ("N", pa.int8())])
        )
