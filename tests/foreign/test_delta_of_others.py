"""Delta tables of results that another program has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from deltalake import DeltaTable

from pipeline import ConfigError
from pipeline.reindexing.reindex import rollback
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def test_a_table_that_another_program_has_rewritten(world: Callable[[], World]) -> None:
    """delta-rs compacts files into one with types of its own, and writes checkpoints."""
    here = world()
    here.put("a", [(1, "a"), (2, "bb"), (3, "flaky")])
    here.put("b", [(4, "a"), (5, "bb")])
    here.up = False
    here.run()
    here.put("c", [(6, "a")])
    here.run()
    delta = DeltaTable(here.folder / "out")
    assert delta.optimize.compact()["numFilesRemoved"] > 1
    delta.create_checkpoint()
    assert here.held() == here.expected()
    here.up = True
    here.put("a", [(1, "a"), (2, "changed"), (3, "flaky")])
    here.put("b", [])
    done = here.run()
    assert done
    assert (done["rows_read"], done["rows_moved"]) == (2, 1)
    assert here.held() == here.expected()
    DeltaTable(here.folder / "out").optimize.z_order(["id"])
    here.put("c", [(6, "bb")])
    here.run()
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_rows_that_another_program_has_removed(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    DeltaTable(here.folder / "out").delete("id = 2")
    here.put("b", [(3, "a")])
    with pytest.raises(ConfigError, match=r"has 1 row, and had 2 when .* restore version 0 by `vilt reindex"):
        here.run()
    rollback(str(here.folder / "out"), here.config.storage, 0)
    here.run()
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_what_is_written_decides_which_table_it_is(world: Callable[[], World], monkeypatch: pytest.MonkeyPatch) -> None:
    here = world()
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    monkeypatch.setattr("pipeline.results.results_version.RESULTS_VERSION", 1000)
    done = here.run()
    assert done
    assert (done["rows_read"], done["rows_out"]) == (2, 2)
    here.set_output(keep_image=True)
    done = here.run()
    assert done
    assert done["rows_read"] == 2
    assert here.run() is None
    shutil.rmtree(here.folder)
