"""JSON lines: types are joined over lines and files; what pyarrow refuses is parsed line by line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tables.format import OpenOptions
from pipeline.tables.formats.jsonl.format import JsonLinesFormat
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import (
    Rows,
    config,
    rows_of,
    table_of,
    write_jsonl,
)


def test_json_types_are_joined(tmp_path: Path) -> None:
    lines = [
        {"image": "a", "text": ["x"], "n": 1, "day": "2026-01-01"},
        {"image": "b", "text": [], "n": 2.5, "day": None, "more": {"k": "2026-01-01"}},
    ]
    write_jsonl(tmp_path / "1.jsonl", [lines[0]])
    write_jsonl(tmp_path / "2.jsonl", [lines[1], {"image": None}])
    job = config(tmp_path)
    table = open_table(job)
    assert table.columns.text_is_list
    rows = {row["image"]: row for row in rows_of(job)}
    assert (rows["a"]["n"], rows["a"]["day"], rows["a"]["more"]) == (1.0, "2026-01-01", None)
    assert rows["b"]["more"] == {"k": "2026-01-01"}
    assert rows[None]["text"] is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def unified(value: Any, kind: pa.DataType) -> Any:
    """A value as a column of a type holds it."""
    if value is None or pa.types.is_null(kind):
        return None
    if pa.types.is_struct(kind):
        return {one.name: unified(value.get(one.name), one.type) for one in kind}
    return [unified(one, kind.value_type) for one in value] if pa.types.is_list(kind) else value


@settings(max_examples=100)
@given(rows=st.lists(st.dictionaries(st.sampled_from("ab"), VALUES), min_size=1, max_size=4), block=st.integers(8, 99))
def test_values_are_exact_or_the_column_is_unreadable(rows: Rows, block: int) -> None:
    data, lines = "\n".join(map(json.dumps, rows)).encode(), JsonLinesFormat()
    with patch("pipeline.tables.formats.row_format.BLOCK_BYTES", block):
        scan = lines.scan(lambda: io.BytesIO(data), OpenOptions())
        schema, unreadable = lines.unify(["x"], [scan])
        tables = list(lines.parse(io.BytesIO(data), schema, OpenOptions()))
    assert scan.rows == len(rows) == sum(table.num_rows for table in tables)
    assert {*schema.names, *unreadable} == {name for row in rows for name in row}
    if schema.names:
        read = [row for table in tables for row in table.to_pylist()]
        assert read == [{one.name: unified(row.get(one.name), one.type) for one in schema} for row in rows]


def test_half_an_emoji_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"image": "a", "text": "\\ud83d"}\n{"image": "b", "text": "\\ud83d\\ude00"}\n')
    texts = table_of(config(file))["text"]
    assert texts[1].as_py() == "\U0001f600"
    with pytest.raises(UnicodeDecodeError):
        texts[0].as_py()
