"""Windows of exactly so many rows, whatever pieces the table is read in."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.source import windows_of


@given(st.lists(st.integers(0, 20)), st.integers(1, 9))
def test_windows(sizes: list[int], rows: int) -> None:
    numbers = pa.table({"n": range(sum(sizes))})
    pieces, begin = [], 0
    for size in sizes:
        pieces.append(numbers.slice(begin, size))
        begin += size
    windows = list(windows_of(iter(pieces), rows))
    assert [n for window in windows for n in window["n"].to_pylist()] == list(range(sum(sizes)))
    assert all(window.num_rows == rows for window in windows[:-1])
    assert all(0 < window.num_rows <= rows for window in windows)
