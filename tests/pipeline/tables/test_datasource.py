"""Windows of exactly so many rows, whatever pieces the table is read in."""

from unittest.mock import patch

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.row_ranges import Places
from pipeline.tables.datasource import TASK_BYTES, Piece, TableSource, Unread, Wanted, windows_of


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


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 3 * TASK_BYTES)), max_size=200))
def test_a_large_table_has_a_bounded_number_of_tasks(pieces: list[tuple[int, int]]) -> None:
    unread = [
        Unread(i, str(i), Piece(0, rows, rows, size, lambda *_: iter(())), Places.none())
        for i, (rows, size) in enumerate(pieces)
    ]
    with patch("pipeline.tables.datasource.MOST_TASKS", 10):
        tasks = TableSource(unread, Wanted(pa.schema([]), [], None, 10), iter).tasks
    assert [one for task in tasks for one in task] == unread
    assert len(tasks) <= 4 * 10 + 1
