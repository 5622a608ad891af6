"""A table of results whose input is deleted as a whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import ConfigError
from pipeline.results.delta import table as delta_table
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def test_all_input_is_deleted(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(i, "a") for i in range(5)])
    here.put("b", [(5, "bb")])
    here.run()
    here.put("a", [])
    here.put("b", [])
    with pytest.raises(
        ConfigError, match=r"holds no .* files .*; if all input was deleted .* output\.allow_empty=true"
    ):
        here.run()
    assert sum(here.held().values()) == 6
    here.set_output(allow_empty=True)
    gone = here.run()
    assert gone is not None
    assert (gone["files_gone"], gone["rows_left"], gone["rows_in"], gone["rows_out"]) == (2, 6, 0, 0)
    assert sum(here.held().values()) == 0
    assert here.run() is None, "nothing is left to follow"
    here.put("c", [(7, "c"), (8, "dd")])
    back = here.run()
    assert back is not None
    assert (back["rows_read"], back["rows_out"]) == (2, 2)
    assert here.held() == here.expected()


def test_another_folder_that_is_empty_is_no_deletion(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a")])
    here.run()
    here.set_output(allow_empty=True)
    (here.folder / "in2").mkdir()
    here.set_input(path=str(here.folder / "in2"))
    with pytest.raises(ConfigError, match=r"was made from .*/in'.*; correct the path"):
        here.run()
    here.set_input(path=str(here.folder / "in3"))
    with pytest.raises(ConfigError, match=r"in3' does not exist"):
        here.run()
    assert sum(here.held().values()) == 1


def test_only_reindex_follows(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a")])
    here.set_output(allow_empty=True)
    with pytest.raises(ConfigError, match=r"output\.allow_empty: true, but only `vilt reindex` follows the input"):
        here.run(follow=False)


def test_a_checkpoint_follows_a_commit_of_very_many_files(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_table, "CHECKPOINT_ACTIONS", 2)
    here = world()
    log = here.folder / "out" / "_delta_log"
    here.put("a", [(1, "a")])
    here.run()
    assert not list(log.glob("*.checkpoint.parquet"))
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    assert list(log.glob("*.checkpoint.parquet"))
    assert (log / "_last_checkpoint").is_file()
    assert here.held() == here.expected()
    assert here.run() is None
