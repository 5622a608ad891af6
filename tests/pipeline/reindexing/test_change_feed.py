"""Reindexing over a Delta table with a change data feed, written by deltalake: only rows that changed are read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline.config.storage import StorageConfig
from pipeline.reindexing import delta_output
from pipeline.tables.formats.delta.change_feed import KEY, changed_ids
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, score, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def rows(*ids: int, caption: str = "a") -> pa.Table:
    count = len(ids)
    return pa.table({"id": pa.array(ids, pa.int64()), "image": [b"i"] * count, "caption": [caption] * count})


def write(here: World, table: pa.Table, feed: bool = True) -> None:
    configuration = {KEY: "true"} if feed else {}
    write_deltalake(here.folder / "table", table, mode="append", configuration=configuration)


@pytest.fixture
def here(world: Callable[[], World]) -> Iterator[World]:
    made = world()
    made.set_input(path=str(made.folder / "table"))
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def by_content(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How often rows were compared by their content."""
    found: list[bool] = []
    compare = delta_output.find_moved

    def noted(*args: Any) -> Any:
        found.append(True)
        return compare(*args)

    monkeypatch.setattr(delta_output, "find_moved", noted)
    return found


def check(here: World, captions: dict[int, str]) -> None:
    held = {row["id"]: (row["caption"], row["score"]) for row in here.table().to_pylist()}
    assert held == {i: (caption, score(caption, "m")) for i, caption in captions.items()}
    assert here.table().num_rows == len(captions)
    listed = {str(path).rpartition("/")[2] for path in DeltaTable(here.folder / "table").file_uris()}
    assert {row["row_source"]["file"] for row in here.table().to_pylist()} <= listed


def test_only_rows_that_the_feed_names_are_read(here: World, by_content: list[bool]) -> None:
    write(here, rows(*range(8)))
    write(here, rows(*range(8, 12), caption="bb"))
    assert here.run()
    assert here.commit().input_version == "version 1"
    table = DeltaTable(here.folder / "table")
    table.update({"caption": "'new'"}, predicate="id = 3")
    table.delete("id = 5 OR id = 9")
    write(here, rows(20, caption="added"))
    DeltaTable(here.folder / "table").optimize.compact()
    counts = here.run()
    assert counts is not None
    assert (counts["rows_read"], counts["rows_moved"]) == (2, 9), "the one that changed, and the one that is new"
    assert not by_content
    expected = {**dict.fromkeys(range(8), "a"), **dict.fromkeys(range(8, 12), "bb"), 3: "new", 20: "added"}
    check(here, {i: caption for i, caption in expected.items() if i not in (5, 9)})
    assert here.run() is None


def test_killed_before_each_step(here: World, world: Callable[[], World]) -> None:
    write(here, rows(*range(4)))
    for step in range(1, 60):
        one = world()
        shutil.copytree(here.folder / "table", one.folder / "table")
        one.set_input(path=str(one.folder / "table"))
        one.run()
        DeltaTable(one.folder / "table").update({"caption": "'new'"}, predicate="id = 3")
        done = one.run(kill_at=step)
        one.run()
        check(one, {0: "a", 1: "a", 2: "a", 3: "new"})
        shutil.rmtree(one.folder)
        if done:
            return
    raise AssertionError("it never ended")


def test_ids_that_several_rows_have_are_read_again(here: World, by_content: list[bool]) -> None:
    write(here, rows(1, 1, 2, 3))
    here.run()
    DeltaTable(here.folder / "table").delete("id = 3")
    counts = here.run()
    assert counts is not None
    assert (counts["rows_read"], counts["rows_moved"]) == (2, 1)
    assert not by_content
    assert sorted(here.table()["id"].to_pylist()) == [1, 1, 2]


def test_without_a_feed_rows_are_compared_by_their_content(here: World, by_content: list[bool]) -> None:
    write(here, rows(1, 2, 3), feed=False)
    here.run()
    DeltaTable(here.folder / "table").delete("id = 3")
    counts = here.run()
    assert counts is not None
    assert (counts["rows_read"], counts["rows_moved"], by_content) == (0, 2, [True])
    check(here, {1: "a", 2: "a"})


def test_what_the_feed_says(here: World) -> None:
    folder = here.folder / "table"
    write(here, rows(1, 2, 3))

    def changed(since: int, until: int, *columns: str) -> list[int] | None:
        ids = changed_ids(str(folder), StorageConfig(), since, until, "id", columns or ("id", "caption"))
        return None if ids is None else sorted(set(ids.to_pylist()))

    write(here, rows(4))
    DeltaTable(folder).optimize.compact()
    DeltaTable(folder).update({"caption": "'b'"}, predicate="id = 2")
    assert (changed(0, 1), changed(1, 2), changed(2, 3), changed(0, 3)) == ([4], [], [2], [2, 4])
    write_deltalake(folder, rows(5).append_column("more", pa.array(["x"])), mode="append", schema_mode="merge")
    assert changed(3, 4) == [5]
    assert changed(3, 4, "id", "more") is None, "a column that the job reads was not there before"
    assert changed(3, 9) is None, "there is no such version"
    DeltaTable(folder).restore(1)
    assert changed(4, 5) is None, "what a restored version changes, the feed need not say"
