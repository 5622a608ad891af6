"""What the footer of a file of results says, and which files hold together."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.row_ranges import RowSet, row_key
from pipeline.results.file_footer import ResultFile, done_rows, settle
from pipeline.stages.batch_stats import BatchStats
from pipeline.tables.provenance import row_sources

KEYS = st.lists(st.integers(0, 2**45), unique=True, max_size=6).map(lambda keys: np.array(keys, np.int64))
COUNTS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9)).map(Counter)
FILES = st.builds(
    ResultFile,
    name=st.text(max_size=3),
    complete=KEYS.map(RowSet.of),
    split=st.dictionaries(st.integers(0, 2**45), st.tuples(st.integers(1, 3), st.integers(4, 9)), max_size=2),
    retryable=KEYS.map(RowSet.of),
    rows=st.integers(0, 99),
    errors=COUNTS,
    model_seconds=st.floats(0, 9),
    devices=COUNTS,
    grids=COUNTS,
    file_versions=st.dictionaries(st.integers(0, 9), st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2),
    at=st.floats(0, 2e9),
    replaces=st.none() | st.text(max_size=3),
)


@settings(max_examples=30)
@given(FILES)
def test_a_footer_is_read_as_it_was_written(file: ResultFile) -> None:
    assert vars(ResultFile.from_json(file.to_json())) == vars(file)


def test_the_names_that_footers_have() -> None:
    file = ResultFile(complete=RowSet.of_range(3, 7), file_versions={0: ("a.parquet", "etag 10")})
    stored = json.loads(file.to_json())
    assert stored["editions"] == {"0": ["a.parquet", "etag 10"]}
    assert RowSet.decode(stored["places"]) == file.complete
    assert {"complete", "file_versions"}.isdisjoint(stored)
    read = ResultFile.from_json(file.to_json().encode())
    assert (read.complete, read.file_versions) == (file.complete, file.file_versions)


def test_footers_of_earlier_and_later_releases() -> None:
    """Fields that are not there have their defaults; fields that nobody knows are left out."""
    encoded = RowSet.of_range(0, 2).encode()
    stored = {"places": encoded, "retryable": RowSet.none().encode(), "split": {"7": [1, 2]}, "rows": 3, "later": 1}
    read = ResultFile.from_json(json.dumps(stored))
    assert (read.complete, read.split, read.rows) == (RowSet.of_range(0, 2), {7: (1, 2)}, 3)
    assert (read.errors, read.devices, read.file_versions, read.replaces) == (Counter(), Counter(), {}, None)


def block(keys: list[int], texts: list[int], errors: list[str | None], stats: BatchStats, **more: pa.Array) -> pa.Table:
    columns = {"__row_key": pa.array(keys, pa.int64()), "__texts": pa.array(texts, pa.int32())}
    return stats.attach(pa.table({**columns, "error": pa.array(errors, pa.string()), **more}))


def test_what_a_file_of_blocks_holds() -> None:
    first = BatchStats(pairs=2, tokens=30, seconds=0.5, grids=["4x6", "4x4"], precision="float32", device="cpu")
    second = BatchStats(pairs=1, tokens=10, seconds=0.25, grids=["4x6"], precision="float32", device="cpu")
    nothing = BatchStats(pairs=0)
    blocks = [
        block([5, 5, 9], [2, 2, 3], [None, "text_null", None], first),
        block([9, row_key(1, 4)], [3, 1], [None, "fetch_timeout"], second),
        block([row_key(1, 5)], [1], ["image_corrupt"], nothing),
    ]
    file = ResultFile.of("part", blocks, 100)
    assert file.complete == RowSet.of(np.array([5, row_key(1, 4), row_key(1, 5)]))
    assert file.split == {9: (2, 3)}
    assert file.retryable == RowSet.of(np.array([row_key(1, 4)]))
    assert (file.name, file.rows) == ("part", 6)
    assert file.errors == {"text_null": 1, "fetch_timeout": 1, "image_corrupt": 1}
    assert (file.micro_batches, file.pairs, file.tokens, file.capacity, file.model_seconds) == (2, 3, 40, 200, 0.75)
    assert (file.devices, file.grids) == ({"float32 on cpu": 2}, {"4x6": 2, "4x4": 1})
    assert (file.file_versions, file.replaces) == ({}, None)


def test_the_versions_of_the_files_that_rows_are_from() -> None:
    keys = [row_key(3, 1), row_key(0, 0), row_key(3, 0)]
    source = row_sources(["d", "a", "d"], ["v2 9", "v1 5", "v2 9"], np.array([1, 0, 0]), np.arange(3))
    file = ResultFile.of("part", [block(keys, [1] * 3, [None] * 3, BatchStats(), row_source=source)], 100)
    assert file.file_versions == {0: ("a", "v1 5"), 3: ("d", "v2 9")}


def test_totals() -> None:
    one = ResultFile(rows=2, pairs=3, model_seconds=0.5, errors=Counter(a=1), grids=Counter({"4x4": 2}), capacity=9)
    two = ResultFile(rows=5, pairs=1, model_seconds=0.25, errors=Counter(a=2, b=1), tokens=7, micro_batches=1)
    total = ResultFile.total(iter([one, two]))
    assert (total.rows, total.pairs, total.model_seconds, total.tokens, total.capacity) == (7, 4, 0.75, 7, 9)
    assert (total.errors, total.grids, total.micro_batches) == ({"a": 3, "b": 1}, {"4x4": 2}, 1)
    assert (one.errors, len(ResultFile.total([]).complete)) == ({"a": 1}, 0)


def part(name: str, complete: list[int], **split: tuple[int, int]) -> ResultFile:
    return ResultFile(
        name, RowSet.of(np.array(complete, np.int64)), {int(key[1:]): counts for key, counts in split.items()}
    )


@pytest.mark.parametrize(
    ("parts", "good"),
    [
        ([], ""),
        ([part("a", [1, 2]), part("b", [3])], "ab"),
        ([part("a", [1], r9=(1, 3)), part("b", [2], r9=(2, 3))], "ab"),
        ([part("a", [1], r9=(1, 3)), part("b", [2])], "b"),
        ([part("a", [1], r9=(2, 3)), part("b", [2], r9=(2, 3))], ""),
        ([part("a", [1, 2]), part("b", [2, 3]), part("c", [3])], "ac"),
        ([part("a", [1], r9=(1, 2)), part("b", [1], r9=(1, 2))], ""),
        ([part("a", [1], r8=(1, 2)), part("b", [2], r8=(1, 2), r9=(1, 2)), part("c", [3])], "c"),
    ],
)
def test_files_that_hold_together(parts: list[ResultFile], good: str) -> None:
    fits, others = settle(parts)
    assert "".join(one.name for one in fits) == good
    assert sorted(one.name for one in [*fits, *others]) == [one.name for one in parts]


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 9)), st.dictionaries(st.integers(10, 12), st.just((1, 2)))), max_size=5)
)
def test_files_that_fit_hold_each_row_once(rows: list[tuple[set[int], dict[int, tuple[int, int]]]]) -> None:
    parts = [ResultFile(str(i), RowSet.of(np.array([*keys], np.int64)), split) for i, (keys, split) in enumerate(rows)]
    good, bad = settle(parts)
    seen = Counter(
        key
        for file in good
        for begin, end in zip(file.complete.begins, file.complete.ends, strict=True)
        for key in range(begin, end)
    )
    assert set(seen.values()) <= {1}
    halves = Counter(key for file in good for key in file.split)
    assert set(halves.values()) <= {2}
    assert {file.name for file in good}.isdisjoint(file.name for file in bad)
    assert len(good) + len(bad) == len(parts)
    assert len(done_rows(good)) == len(seen) + len(halves)
