"""`row_source`: where a row of results comes from: its file, the file's version, and a hash of what was read.

A table of results that follows its input needs it, row by row, to find out what has changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Hash(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Take in more of the message."""


TYPE = pa.struct(
    [
        ("file", pa.string()),  # its name below the table's folder
        ("edition", pa.string()),  # its etag or time of change, and its size
        ("row", pa.int64()),  # the row's number in the file
        ("hash", pa.int64()),  # of every column that the job reads
    ]
)


def row_sources(files: Sequence[str], versions: Sequence[str], numbers: np.ndarray, hashes: np.ndarray) -> pa.Array:
    """Return the column `row_source`.

    Args:
        files: The file of each row.
        versions: The version of each file.
        numbers: int64 (rows,), the numbers of the rows in their files.
        hashes: int64 (rows,), see `content_hashes`.
    """
    fields = [
        pa.array(values, part.type) for values, part in zip((files, versions, numbers, hashes), TYPE, strict=True)
    ]
    return pa.StructArray.from_arrays(fields, fields=list(TYPE))


def content_hashes(rows: pa.Table) -> np.ndarray:
    """Return int64 (rows,): equal for rows whose values are equal in every column, by name."""
    names = sorted(rows.column_names)
    columns = [_hashable(rows[name]).to_pylist() for name in names]
    names = [name + _unit(rows.schema.field(name).type) for name in names]
    out = np.empty(rows.num_rows, np.int64)
    for i, values in enumerate(zip(*columns, strict=True)):
        digest = hashlib.blake2b(digest_size=8)
        for name, value in zip(names, values, strict=True):
            _feed(digest, name)
            _feed(digest, value)
        out[i] = int.from_bytes(digest.digest(), "little", signed=True)
    return out


def _hashable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column in types of which Python holds every value.

    Strings may be no UTF-8 and times out of Python's range; both are kept by their bytes.
    """
    kind = _hashable_type(column.type)
    return column if kind == column.type else pc.cast(column, kind)


def _unit(kind: pa.DataType) -> str:
    """Return the type, if it has times, which are hashed as numbers: it says in which unit they are."""
    return f" {kind}" if re.search("time|date|duration", str(kind)) else ""


def _hashable_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.large_binary()
    if types.is_timestamp(kind) or types.is_date64(kind) or types.is_time64(kind) or types.is_duration(kind):
        return pa.int64()
    if types.is_date32(kind) or types.is_time32(kind):
        return pa.int32()
    if types.is_dictionary(kind):
        return _hashable_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(_hashable_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(one.name, _hashable_type(one.type)) for one in kind])
    if types.is_map(kind):
        return pa.map_(_hashable_type(kind.key_type), _hashable_type(kind.item_type))
    return kind


def _feed(digest: Hash, value: Any) -> None:
    """Feed a value to a hash, so that no two different ones give the same bytes."""
    if isinstance(value, bytes):
        digest.update(b"b%d:" % len(value))
        digest.update(value)
    elif isinstance(value, (list, dict)):
        digest.update(b"%d[" % len(value))
        for part in value.items() if isinstance(value, dict) else value:
            _feed(digest, list(part) if isinstance(part, tuple) else part)
    else:
        text = repr(value).encode(errors="surrogatepass")
        digest.update(b"r%d:" % len(text))
        digest.update(text)
