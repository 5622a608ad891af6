"""`row_source`: where a row of results comes from: its file, the file's version, and a hash of what was read.

A table of results that follows its input needs it, row by row, to find out what has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa


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


def row_sources(files: Sequence[str], editions: Sequence[str], numbers: np.ndarray, hashes: np.ndarray) -> pa.Array:
    """Return the column `row_source`.

    Args:
        files: The file of each row.
        editions: The version of each file.
        numbers: int64 (rows,), the numbers of the rows in their files.
        hashes: int64 (rows,), see `content_hashes`.
    """
    fields = [
        pa.array(values, part.type) for values, part in zip((files, editions, numbers, hashes), TYPE, strict=True)
    ]
    return pa.StructArray.from_arrays(fields, fields=list(TYPE))


def content_hashes(rows: pa.Table) -> np.ndarray:
    """Return int64 (rows,), equal for rows whose values are equal in every column, by name."""
    names = sorted(rows.column_names)
    out = np.empty(rows.num_rows, np.int64)
    for i, values in enumerate(zip(*(_values(rows[name]) for name in names), strict=True)):
        digest = hashlib.blake2b(digest_size=8)
        for name, value in zip(names, values, strict=True):
            _feed(digest, name)
            _feed(digest, value)
        out[i] = int.from_bytes(digest.digest(), "little", signed=True)
    return out


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values in Python; of a value with a string that is not UTF-8, with bytes for its strings."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = []
        for i, value in enumerate(column):
            try:
                values.append(value.as_py())
            except UnicodeDecodeError:
                values += column.slice(i, 1).cast(_with_bytes(column.type)).to_pylist()
    return values


def _with_bytes(kind: pa.DataType) -> pa.DataType:
    """Return a type with binary for its strings."""
    if pa.types.is_dictionary(kind):
        return _with_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_bytes(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_bytes(kind.key_type), _with_bytes(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_with_bytes(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_with_bytes(kind.value_type))
    return pa.large_binary() if pa.types.is_string(kind) or pa.types.is_large_string(kind) else kind


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
