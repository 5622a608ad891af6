"""Sets of places behave as sets do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.row_ranges import RowSet, row_key

SETS = st.sets(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=30).map(
    lambda rows: {row_key(file, row) for file, row in rows}
)
UNIVERSE = np.array([row_key(file, row) for file in range(3) for row in range(13)])


def make(places: set[int]) -> RowSet:
    return RowSet.of(np.array([*places, *places], np.int64))


@given(SETS)
def test_one_set(places: set[int]) -> None:
    made = make(places)
    assert len(made) == len(places)
    assert made.keys().tolist() == sorted(places)
    assert set(UNIVERSE[made.contains(UNIVERSE)].tolist()) == places
    assert RowSet.decode(made.encode()) == made
    listed = {row_key(file, row) for file, begin, end in made.ranges() for row in range(begin, end)}
    assert listed == places
    assert all(made.begins[1:] > made.ends[:-1])


@given(st.lists(SETS, max_size=4))
def test_union(sets: list[set[int]]) -> None:
    assert RowSet.union(map(make, sets)) == make(set().union(*sets))


@given(SETS, SETS)
def test_minus(places: set[int], others: set[int]) -> None:
    assert make(places).minus(make(others)) == make(places - others)


@given(SETS, st.integers(0, 12), st.integers(0, 12))
def test_between(places: set[int], begin: int, end: int) -> None:
    low, high = row_key(1, begin), row_key(1, max(begin, end))
    assert make(places).between(low, high) == make({p for p in places if low <= p < high})


def test_a_file_is_one_range_and_a_million_rows_are_small() -> None:
    assert RowSet.file(3, 5) == make({row_key(3, row) for row in range(5)})
    assert len(RowSet.file(3, 0)) == 0
    assert len(RowSet.file(7, 10**6).encode()) < 60
    scattered = RowSet.of(np.random.default_rng(0).choice(10**6, 100_000, replace=False))
    assert len(scattered.encode()) < 200_000
