"""`row_source`: where a row of results comes from, which file in which edition, and a hash of what it was read from.

What a table of results that follows its input needs to know, row by row, to tell what has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa


class Hash(Protocol):
    """Of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """More of the message."""


TYPE = pa.struct(
    [
        ("file", pa.string()),  # its name below the table's folder
        ("edition", pa.string()),  # its etag or time of change, and its size
        ("row", pa.int64()),  # the row's number in the file
        ("hash", pa.int64()),  # of every column that the job reads
    ]
)


def row_sources(files: Sequence[str], editions: Sequence[str], numbers: np.ndarray, hashes: np.ndarray) -> pa.Array:
    """The column `row_source`. numbers: int64 (rows,), of the rows in their files. hashes: see `content_hashes`."""
    fields = [
        pa.array(values, part.type) for values, part in zip((files, editions, numbers, hashes), TYPE, strict=True)
    ]
    return pa.StructArray.from_arrays(fields, fields=list(TYPE))


def content_hashes(rows: pa.Table) -> np.ndarray:
    """int64 (rows,): equal for rows whose values are equal in every column, by name."""
    names = sorted(rows.column_names)
    out = np.empty(rows.num_rows, np.int64)
    for i, values in enumerate(zip(*(rows[name].to_pylist() for name in names), strict=True)):
        digest = hashlib.blake2b(digest_size=8)
        for name, value in zip(names, values, strict=True):
            _feed(digest, name)
            _feed(digest, value)
        out[i] = int.from_bytes(digest.digest(), "little", signed=True)
    return out


def _feed(digest: Hash, value: Any) -> None:
    """A value, so that no two different ones give the same bytes."""
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
