"""Windows of exactly so many rows, in whatever parts the table is read; read tasks that are not too many."""

from unittest.mock import create_autospec, patch

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.row_ranges import RowSet
from pipeline.tables.datasource import TASK_BYTES, ReadPlan, TableSource, UnreadSplit, windows_of
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split, TableReader


@given(st.lists(st.integers(0, 20)), st.integers(1, 9))
def test_windows(sizes: list[int], rows: int) -> None:
    numbers = pa.table({"n": range(sum(sizes))})
    parts, begin = [], 0
    for size in sizes:
        parts.append(numbers.slice(begin, size))
        begin += size
    windows = list(windows_of(iter(parts), rows))
    assert [n for window in windows for n in window["n"].to_pylist()] == list(range(sum(sizes)))
    assert all(window.num_rows == rows for window in windows[:-1])
    assert all(0 < window.num_rows <= rows for window in windows)


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 9), st.integers(1, 500))
def test_windows_of_few_bytes(lengths: list[int], rows: int, most: int) -> None:
    values = ["x" * length for length in lengths]
    table = pa.table({"text": pa.array(values, pa.string())})
    windows = list(windows_of(iter([table.slice(0, 7), table.slice(7)]), rows, most))
    assert [text for window in windows for text in window["text"].to_pylist()] == values
    assert all(window.num_rows == 1 or window.nbytes <= most for window in windows)
    assert all(0 < window.num_rows <= rows for window in windows)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 3 * TASK_BYTES)), max_size=200))
def test_a_large_table_has_a_bounded_number_of_tasks(splits: list[tuple[int, int]]) -> None:
    unread = [
        UnreadSplit(i, InputFile(str(i), str(i), size, ""), Split(0, rows, rows, size), RowSet.none())
        for i, (rows, size) in enumerate(splits)
    ]
    plan = ReadPlan(create_autospec(TableReader), pa.schema([]), [], None, 10)
    with patch("pipeline.tables.datasource.MOST_TASKS", 10):
        tasks = TableSource(unread, plan, iter).tasks
    assert [one for task in tasks for one in task] == unread
    assert len(tasks) <= 4 * 10 + 1
