"""Hashes of rows: equal for equal content, whatever the order of the columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.provenance import content_hashes, row_sources

CELL = st.fixed_dictionaries(
    {
        "image": st.none() | st.binary(max_size=3),
        "struct": st.none()
        | st.fixed_dictionaries({"bytes": st.binary(max_size=2), "path": st.text("ab", max_size=2)}),
        "texts": st.none() | st.lists(st.none() | st.text("ab", max_size=2), max_size=2),
        "n": st.none() | st.integers(-2, 2),
        "x": st.none() | st.floats(allow_nan=False, width=32),
    }
)
SCHEMA = pa.schema(
    [
        ("image", pa.binary()),
        ("struct", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("texts", pa.list_(pa.string())),
        ("n", pa.int64()),
        ("x", pa.float32()),
    ]
)


@given(rows=st.lists(CELL, min_size=2, max_size=8))
def test_equal_rows_and_no_others_have_equal_hashes(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    hashes = content_hashes(table).tolist()
    texts = [repr(row) for row in table.to_pylist()]
    for i in range(len(rows)):
        for j in range(i):
            assert (hashes[i] == hashes[j]) == (texts[i] == texts[j])
    assert content_hashes(table.select(["x", "texts", "image", "n", "struct"])).tolist() == hashes


def test_what_lies_where_matters() -> None:
    assert len(set(content_hashes(pa.table({"a": ["ab", "a", None, ""], "b": ["c", "bc", "", None]})).tolist())) == 4


def test_column() -> None:
    first, second = row_sources(["a/b.parquet"] * 2, ["etag 12"] * 2, np.array([7, 9]), np.array([1, -2])).to_pylist()
    assert first == {"file": "a/b.parquet", "edition": "etag 12", "row": 7, "hash": 1}
    assert (second["row"], second["hash"]) == (9, -2)
