"""Ids: their keys keep what is equal and what comes first, and lead back to them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.row_ids import (
    from_keys,
    id_type,
    ids_of,
    json_id,
    keys_of,
    order_of,
    same_ids,
    shown_id,
    shown_key,
)

UTC = datetime.timezone.utc
IDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1) | st.just(2**64 - 1)),
    (pa.string(), st.text(st.characters(codec="utf-8"), max_size=4)),
    (pa.large_binary(), st.binary(max_size=4)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.decimal128(12, 2), st.decimals(-1000, 1000, places=2)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    (pa.bool_(), st.booleans()),
]


@pytest.mark.parametrize(("kind", "values"), IDS, ids=[str(kind) for kind, _ in IDS])
@settings(max_examples=20)
@given(data=st.data())
def test_keys_keep_the_order_and_lead_back(
    kind: pa.DataType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(values, min_size=1, max_size=8))
    ids = pa.array(drawn, kind)
    assert id_type(kind) == kind
    assert from_keys(keys_of(ids), kind).equals(ids)
    assert from_keys(keys_of(pa.chunked_array([ids, ids])), kind).to_pylist() == [*drawn, *drawn]
    order = order_of(ids).to_pylist()
    assert [sorted(set(drawn)).index(one) + 1 for one in drawn] == order
    for one in ids:
        assert isinstance(shown_id(one), str)
        key = keys_of(pa.array([one.as_py()], kind))[0].as_py()
        assert shown_key(key, kind) == json_id(one)


def test_what_is_shown() -> None:
    number = UUID("d2f9a8c0-b1e3-4f56-9788-776655443300")
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([number.bytes], pa.binary(16)))
    assert shown_id(uuids[0]) == shown_key(number.bytes, pa.uuid()) == str(number)
    assert shown_id(pa.array([number.bytes])[0]) == number.hex
    assert shown_id(pa.array([b"\xff"]).view(pa.string())[0]) == "ff", "no UTF-8"
    assert shown_id(pa.scalar(1, pa.timestamp("ns"))) == "1970-01-01 00:00:00.000000001"
    assert shown_id(None) == shown_id(pa.scalar(None, pa.string())) == "null"
    assert json_id(pa.scalar(7, pa.uint8())) == 7
    assert json_id(Decimal("1.50")) == "1.50"


def test_dictionaries_are_their_values() -> None:
    column = pa.chunked_array([pa.array(["b", "a", None]).dictionary_encode()])
    assert id_type(column.type) == pa.string()
    assert ids_of(column).to_pylist() == ["b", "a", None]


@pytest.mark.parametrize(
    "kind", [pa.float32(), pa.null(), pa.list_(pa.int64()), pa.duration("s"), pa.time32("s"), pa.decimal256(50, 0)]
)
def test_what_is_no_id(kind: pa.DataType) -> None:
    assert id_type(kind) is None
    assert not same_ids(kind, kind)


def test_ids_of_two_types_that_may_be_equal() -> None:
    assert same_ids(pa.uint64(), pa.decimal128(20, 0))
    assert same_ids(pa.uuid(), pa.binary())
    assert same_ids(pa.dictionary(pa.int8(), pa.string()), pa.large_string())
    assert not same_ids(pa.string(), pa.int64())
    assert not same_ids(pa.timestamp("us"), pa.timestamp("us", "UTC"))
