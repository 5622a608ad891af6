"""Counts in messages: one is one, and several are several."""

from __future__ import annotations

import pytest

from vilt.common.counts import counted


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2000, ("row",), "2,000 rows"),
        (1, ("row was read", "rows were read"), "1 row was read"),
        (2, ("row was read", "rows were read"), "2 rows were read"),
    ],
)
def test_one_is_one(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text
