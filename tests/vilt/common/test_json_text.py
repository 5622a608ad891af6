"""JSON of strangers: its depth is known before it is parsed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vilt.common.json_text import MAX_DEPTH, NestedTooDeeplyError, deep_lines, depth, open_levels, read_json

strings = st.text(alphabet='"\\[]{}\n a\u5b22é', max_size=8)
values = st.recursive(strings | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(strings, inner))


def levels(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0


@given(values)
def test_depth(value: Any) -> None:
    assert depth(json.dumps(value).encode()) == depth(json.dumps(value, ensure_ascii=False).encode()) == levels(value)


@given(st.lists(values | st.just([[[[1]]]]), max_size=5), st.integers(0, 4))
def test_deep_lines(lines: list[Any], most: int) -> None:
    text = "\n".join(map(json.dumps, lines)).encode()
    assert deep_lines(text, most) == [i for i, value in enumerate(lines) if levels(value) > most]
    assert open_levels(text.replace(b'"', b"")) >= 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_read(encoding: str) -> None:
    value = {"a": ["[" * 100, "\u5b22[é", {"b": None}]}
    assert read_json(json.dumps(value, ensure_ascii=False).encode(encoding)) == value
    for count in (MAX_DEPTH + 1, 1000, 200_000):
        with pytest.raises(NestedTooDeeplyError, match=f"nested more than {MAX_DEPTH} levels deep"):
            read_json(('{"a": "\u5b22", "b":' + "[" * count).encode(encoding))
    assert levels(read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)) == MAX_DEPTH


@pytest.mark.parametrize(
    "text", [b'"\\"' * 2**20, b'"' * 2**20, b"\\" * 2**20 + b'"', b'"' + b"\\" * 2**20, b'"a\n' * 2**20]
)
def test_no_text_takes_long(text: bytes) -> None:
    """With a pattern that tries again from each quote these would take hours."""
    assert depth(text) == 0
    assert deep_lines(b"[" * 100 + text, MAX_DEPTH) == [0]


def test_lines_that_leave_levels_open() -> None:
    assert open_levels(b'{"a": [1]}\n{"a":\n[\n[\n') == 3
    assert open_levels(b"") == 0
