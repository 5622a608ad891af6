"""Ids of rows: of which types they may be, how they are compared, and how they are shown.

An id is any value that equals itself and has an order: integers of all widths, strings, bytes of fixed or any length,
UUIDs, decimals, dates, timestamps, booleans. `row_id` has the type of the user's column. Floats are no ids (NaN does
not equal itself, and -0.0 equals 0.0), nor are lists and structs, durations and times of day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

DECIMAL_DIGITS = 38  # that every engine holds


def id_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type of `row_id` for a column of ids of a type; None if its values are no ids."""
    if pa.types.is_dictionary(kind):
        return id_type(kind.value_type)
    return kind if _family(kind) else None


def ids_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of ids as `row_id` holds them: not dictionary-encoded."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def key_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the keys of ids: what Arrow, DuckDB and numpy all compare, hash and sort."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.int64()
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return views.get(kind, kind)


def keys_of(ids: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return ids as keys; times with a zone become microseconds.

    Raises:
        pa.ArrowException: A time with a zone is finer than microseconds.
    """
    if isinstance(ids, pa.ChunkedArray):
        return pa.chunked_array([keys_of(chunk) for chunk in ids.chunks], key_type(ids.type))
    if isinstance(ids, pa.ExtensionArray):
        return ids.storage
    if pa.types.is_timestamp(ids.type) and ids.type.tz is not None:
        return ids.cast(pa.timestamp("us", ids.type.tz)).cast(pa.int64())
    return ids.cast(key_type(ids.type))


def from_keys(keys: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """Return the ids of type `kind` that have these keys.

    Args:
        keys: The keys, perhaps in another type of the same values, as an engine gives them back.
        kind: The type of the ids.
    """
    if isinstance(keys, pa.ChunkedArray):
        return pa.chunked_array([from_keys(chunk, kind) for chunk in keys.chunks], kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, keys.cast(kind.storage_type))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return keys.cast(pa.int64()).cast(pa.timestamp("us", kind.tz)).cast(kind)
    return keys.cast(kind)


def same_ids(a: pa.DataType, b: pa.DataType) -> bool:
    """Return whether ids of one type may equal ids of the other."""
    return _family(a) is not None and _family(a) == _family(b)


def shown_id(value: Any) -> str:
    """Return an id as text, for messages, reports and JSON; bytes in hexadecimal digits."""
    if isinstance(value, pa.Scalar):
        try:
            value = value.as_py()
        except UnicodeDecodeError:
            value = value.cast(pa.binary()).as_py()
        except (ValueError, OverflowError):  # a time out of Python's range, or finer than its microseconds
            value = value.cast(pa.string()).as_py()
    if value is None:
        return "null"
    return value.hex() if isinstance(value, bytes) else str(value)


def ids_from_texts(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Return ids that were written as `shown_id` writes them.

    Args:
        texts: The ids.
        kind: Their type.

    Raises:
        pa.ArrowException, ValueError: A text is no id of this type.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, ids_from_texts(texts, kind.storage_type))
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if text is None else bytes.fromhex(text.replace("-", "")) for text in texts], kind)
    return pa.array(texts, pa.string()).cast(kind)


def json_id(value: Any) -> int | str | None:
    """Return an id as JSON has it: a number or a text."""
    value = value.as_py() if isinstance(value, pa.Scalar) and pa.types.is_integer(value.type) else value
    return value if value is None or isinstance(value, int) else shown_id(value)


def shown_key(key: Any, kind: pa.DataType) -> int | str | None:
    """Return the id that has a key, as JSON has it.

    Args:
        key: The key, as an engine gives it in Python.
        kind: The type of the ids.
    """
    if key is None or (isinstance(key, int | str) and not isinstance(key, bool) and kind == key_type(kind)):
        return key
    return json_id(from_keys(pa.array([key], key_type(kind)), kind)[0])


def order_of(ids: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return int64 (n,): the order of each id among all; equal ids have the same."""
    return pc.rank(keys_of(ids), sort_keys="ascending", tiebreaker="dense").cast(pa.int64())


def _family(kind: pa.DataType) -> str | None:
    """Return the name of the types whose values compare with those of `kind`; None if they are no ids."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _family(kind.storage_type)
    if types.is_dictionary(kind):
        return _family(kind.value_type)
    if types.is_integer(kind) or (types.is_decimal(kind) and kind.precision <= DECIMAL_DIGITS):
        return "numbers"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "strings"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    if types.is_fixed_size_binary(kind):
        return "bytes"
    if types.is_date(kind):
        return "dates"
    if types.is_timestamp(kind):
        return "times" if kind.tz is None else "times with a zone" if kind.unit != "ns" else None
    return "booleans" if types.is_boolean(kind) else None
