"""The data files of a commit: small ones are joined, and what was joined is removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from deltalake import DeltaTable

from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def in_log(here: World) -> set[str]:
    """The data files of the latest version."""
    actions = DeltaTable(here.folder / "out").get_add_actions(flatten=True)
    return set(actions.column("path").to_pylist())


def on_disk(here: World) -> set[str]:
    """All Parquet files below the folder of data files."""
    out: Path = here.folder / "out"
    return {str(path.relative_to(out)) for path in (out / "parts").rglob("*.parquet")}


def test_small_files_become_one_and_are_removed(world: Callable[[], World]) -> None:
    here = world()
    for name in "abc":
        here.put(name, [(ord(name) * 10 + i, "a" * i + "b") for i in range(7)])
    here.run()
    (one,) = in_log(here)
    assert one.rpartition("/")[2].startswith("results-")
    assert on_disk(here) == {one}
    assert here.held() == here.expected()
    here.put("b", [(1, "other")])
    here.run()
    assert here.held() == here.expected()
    assert len(in_log(here)) == 2, "the rows that stay, and the new ones"
    here.set_output(file_bytes=0, overwrite=True)
    here.run(follow=False)
    assert len(in_log(here)) > 3, "they stay as they were written"
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_a_run_that_is_killed_leaves_no_small_files(world: Callable[[], World]) -> None:
    """Killed at each of its steps in turn, also between the commit and the removal."""
    for step in range(1, 100):
        here = world()
        for name in "ab":
            here.put(name, [(ord(name) * 10 + i, "b") for i in range(5)])
        finished = here.run(kill_at=step) is not None
        before = here.runs
        here.run()
        assert here.held() == here.expected()
        assert on_disk(here) == in_log(here)
        assert here.runs <= before + 1
        shutil.rmtree(here.folder)
        if finished:
            return
    raise AssertionError("more than 100 steps")
