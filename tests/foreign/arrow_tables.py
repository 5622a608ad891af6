"""Random Arrow tables: columns of all types, nested, with nulls, under odd names."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

Typed = tuple[pa.DataType, st.SearchStrategy[Any]]  # a type, and values of it

ODD_NAMES = ["a", "a.b", "A", "Score", "meta.width", "größe", "with space", "x=1", "`", '"', "0", "row_source.file"]
NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.text(st.characters(codec="utf-8"), min_size=1, max_size=6))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=80)
UTC = datetime.timezone.utc
SMALL = st.integers(0, 1000)
PLAIN: list[Typed] = [
    *(
        (kind, st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1))
        for kind in (pa.int8(), pa.int64())
    ),
    *((kind, st.integers(0, 2**kind.bit_width - 1)) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    *((kind, TEXTS) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    *((kind, st.binary(max_size=8)) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), st.dates()),
    (pa.time32("ms"), SMALL),
    (pa.time64("us"), SMALL),
    (pa.duration("us"), SMALL),
    (pa.timestamp("ms"), st.integers(-(2**42), 2**42)),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("ns"), st.integers(0, 2**60)),
    (pa.timestamp("ns"), st.integers(0, 2**50).map(lambda value: value * 1000)),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    (pa.timestamp("us", "America/New_York"), st.integers(0, 2**50)),
    (pa.decimal128(10, 2), st.decimals(-1000, 1000, places=2)),
    (pa.decimal256(50, 0), st.integers(0, 10**45).map(decimal.Decimal)),
    (pa.null(), st.none()),
]
FIELDS = ["a", "b", "A", "a.b", "ö"]


def or_null(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> Typed:
    """A type and values of it, with nulls."""
    shape = draw(st.sampled_from(["plain", "plain", "plain", "list", "struct", "map"])) if depth else "plain"
    if shape == "plain":
        kind, some = draw(st.sampled_from(PLAIN))
        return kind, or_null(some)
    if shape == "list":
        inner, some = draw(types(depth - 1))
        make = draw(st.sampled_from([pa.list_, pa.large_list]))
        return make(inner), or_null(st.lists(some, max_size=3))
    if shape == "map":
        inner, some = draw(types(depth - 1))
        pairs = st.dictionaries(TEXTS, some, max_size=2).map(lambda found: list(found.items()))
        return pa.map_(pa.string(), inner), or_null(pairs)
    names = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True))
    parts = [draw(types(depth - 1)) for _ in names]
    kind = pa.struct([(name, part) for name, (part, _) in zip(names, parts, strict=True)])
    return kind, or_null(st.fixed_dictionaries({name: some for name, (_, some) in zip(names, parts, strict=True)}))


@st.composite
def columns(draw: st.DrawFn) -> dict[str, pa.Array]:
    """One to three columns of one to six rows."""
    rows = draw(st.integers(1, 6))
    out = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        kind, some = draw(types())
        out[name] = pa.array(draw(st.lists(some, min_size=rows, max_size=rows)), kind)
    return out
