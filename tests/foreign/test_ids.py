"""Ids of any type that compares are ids in every command; others are refused in one line before any work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.common.columns import ROW_ID
from pipeline.common.row_ids import shown_id
from pipeline.common.row_ranges import RowSet
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.ranking.best_images import best_images, best_pairs
from pipeline.results.delta.types import delta_type
from pipeline.results.delta.values import convert
from pipeline.tables.id_checks import IdCounts, count_ids
from pipeline.tables.lookup import find_ids, read_rows
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts
from pipeline.tables.reading import read_columns, read_plan
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.table import open_table
from tests.foreign.ids import CASES, Case
from tests.foreign.test_tables import config
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture
READ = {name: case for name, case in CASES.items() if case.refused is None}
WHOLE = {name: case for name, case in READ.items() if None not in (case.ids or ())}


def row_ids(folder: Path) -> pa.ChunkedArray:
    """Return `row_id` as a job writes it."""
    table = open_table(config(folder, id="uid"))
    plan = read_plan(table, 2)
    rows = (part for one in table.unread(RowSet.none()) for part in one.read(plan))
    return pa.concat_tables([with_row_id(part, "uid") for part in rows])[ROW_ID]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_read_or_refused(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    if case.refused is not None:
        with pytest.raises(ConfigError) as caught:
            open_table(config(tmp_path, id="uid"))
        assert re.search(case.refused, str(caught.value)), str(caught.value)
        assert "\n" not in str(caught.value)
        return
    ids = row_ids(tmp_path)
    assert ids.type == case.kind
    assert ids.to_pylist() == case.ids


@pytest.mark.parametrize("name", READ)
def test_reports_find_rows(name: str, tmp_path: Path) -> None:
    case = READ[name]
    case.write(tmp_path)
    assert case.ids is not None
    table = open_table(config(tmp_path, id="uid"))
    found = find_ids(table, "uid", [*case.ids[:2], None])
    assert found == {case.ids[0]: 0, case.ids[1]: 1}
    assert read_rows(table, [1], ["uid"]) == {1: {"uid": case.ids[1]}}
    assert count_ids(table, "uid") == IdCounts(case.ids.count(None), 0, 0)
    assert all(isinstance(shown_id(one), str) for one in row_ids(tmp_path))


@pytest.mark.parametrize("in_delta", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_filter(name: str, in_delta: bool, tmp_path: Path) -> None:
    case = WHOLE[name]
    (tmp_path / "table").mkdir()
    (tmp_path / "scores").mkdir()
    case.write(tmp_path / "table")
    ids = row_ids(tmp_path / "table")
    if in_delta:  # results in a Delta table have its types
        ids = convert(ids, delta_type(ids.type))
    results = pa.table({ROW_ID: ids, "score": [0.1, 0.9, 0.5], "error": pa.nulls(3, pa.string())})
    pq.write_table(results.take([2, 0, 1]), tmp_path / "scores" / "part-0.parquet")
    values = {
        "input": {"path": f"{tmp_path}/table", "id": "uid"},
        "scores": f"{tmp_path}/scores",
        "keep": {"min_score": 0.4},
        "output": {"path": f"{tmp_path}/out", "report": False},
    }
    summary = filter_table(FilterConfig.checked(values))
    kept = row_ids(tmp_path / "out" / "kept")
    assert [shown_id(one) for one in kept] == [shown_id(one) for one in row_ids(tmp_path / "table")[1:]]
    dropped = pq.read_table(next((tmp_path / "out" / "dropped").iterdir()), partitioning=None)
    assert dropped.schema.field(ROW_ID).type == case.kind
    assert dropped[ROW_ID].to_pylist() == (case.ids or [])[:1]
    assert all(isinstance(row["row_id"], (int, str)) for rows in summary.examples.values() for row in rows)


@pytest.mark.parametrize("name", WHOLE)
def test_reindex(name: str, world: Callable[[], World]) -> None:
    """A row that has moved to another file keeps its result, whatever its id."""
    case = WHOLE[name]
    here = world()
    try:
        case.write(here.folder)
        [written] = [path for path in here.folder.iterdir() if path.is_file()]
        ids = pa.concat_tables(read_columns(open_table(config(here.folder / written.name, id="uid")), ["uid"], 9))[
            "uid"
        ]
        here.put_table("1", id=ids)
        assert (here.run() or {})["rows_read"] == 3
        stored = here.table()[ROW_ID]
        assert stored.type == delta_type(case.kind)
        here.put_table("2", id=ids)
        here.put("1", [])
        done = here.run()
        assert done
        assert (done["rows_moved"], done["rows_read"], done["rows_out"]) == (3, 0, 3)
        assert here.table()[ROW_ID].to_pylist() == stored.to_pylist()
        assert here.run() is None
    finally:
        shutil.rmtree(here.folder)


@pytest.mark.parametrize("name", WHOLE)
def test_rank(name: str, tmp_path: Path) -> None:
    """Images and texts are named by ids of any type; of equal scores the smallest id comes first."""
    case = WHOLE[name]
    case.write(tmp_path)
    ids = row_ids(tmp_path).combine_chunks()
    texts = RankTexts(ids, ["a", "b", "c"], None)
    assert len(texts.fingerprint) == 64
    pair = pa.list_(pa.struct([("text", pa.int32()), ("score", pa.float32())]))
    candidates = pa.array([[{"text": 0, "score": 1.0}]] * 3, pair)
    pairs = best_pairs([(ids[:1], candidates[:1]), (ids[1:], candidates[1:])], 2, ids.type)
    table = best_images(pairs, texts, np.zeros(3, bool), ids.type)
    best = [row["row_id"] for row in table["best_images"][0].as_py()]
    assert best == sorted(case.ids or [])[:2]
    assert table["text_id"].to_pylist() == case.ids
    assert table.schema.field("best_images").type.value_type.field("row_id").type == ids.type
    of = Candidates(pa.array([], pa.int64()), np.zeros(1, np.int64), np.empty(0, np.int64))
    assert [len(one) for one in of.of(pa.array([1, 2]))] == [0, 0]


def test_null_and_repeated_ids_are_counted(tmp_path: Path) -> None:
    ids = ["b", "a", None, "b", None, "c", "b", "c"]
    pq.write_table(
        pa.table({"uid": ids, "image": [b"i"] * 8, "text": ["a"] * 8}), tmp_path / "a.parquet", row_group_size=3
    )
    assert count_ids(open_table(config(tmp_path, id="uid")), "uid") == IdCounts(2, 2, 5)


def test_ids_of_another_type_than_the_scores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "scores").mkdir()
    CASES["DataComp's 32 hex digits"].write(tmp_path / "table")
    results = pa.table({ROW_ID: [1, 2, 3], "score": [0.1, 0.9, 0.5], "error": pa.nulls(3, pa.string())})
    pq.write_table(results, tmp_path / "scores" / "part-0.parquet")
    values: dict[str, Any] = {
        "input": {"path": f"{tmp_path}/table", "id": "uid"},
        "scores": f"{tmp_path}/scores",
        "keep": {"min_score": 0.4},
        "output": {"path": f"{tmp_path}/out", "report": False},
    }
    with pytest.raises(ConfigError, match=r"input\.id: column 'uid' is string, but row_id is int64 in the scores"):
        filter_table(FilterConfig.checked(values))
    assert not (tmp_path / "out" / "kept").exists()
