"""Reindexing under any order of edits, and killed at any step, with a stand-in for the model.

After each run that ends, the table holds the input's rows, each once, with the results of its content; after one that
is killed, it holds what it held before or what it would have held.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import UNSTEADY, World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def steady(rows: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """Without what depends on whether a server was up when a row was read."""
    return Counter({row if row[1] not in UNSTEADY else (row[0], row[1], *row[4:]): n for row, n in rows.items()})


CAPTIONS = st.sampled_from(["a", "bb", "flaky", "late", "gone"])
EDITS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.lists(st.tuples(st.integers(0, 5), CAPTIONS), max_size=7)), max_size=3
)
STEPS = st.lists(
    st.tuples(EDITS, st.sampled_from([0, 0, *range(1, 25)]), st.sampled_from("mmmmn"), st.booleans(), st.booleans()),
    min_size=1,
    max_size=7,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_edits_and_stops(world: Callable[[], World], steps: list[Any]) -> None:
    here = world()
    try:
        here.put("z", [(9, "z")])  # an input without a file is refused
        states = [steady(here.held())]
        for edits, kill_at, model, up, retry in steps:
            for name, rows in edits:
                here.put(name, rows)
            here.model, here.up = model, up
            here.run(kill_at, retry_errors=retry)
            states.append(steady(here.held()))
            assert states[-1] in (states[-2], steady(here.expected()))
            assert kill_at or states[-1] == steady(here.expected())
        here.model, here.up = "m", True
        here.run()  # which may resume one that was killed while the server was down
        here.run()
        assert here.held() == here.expected()
        errors = Counter(row[3] for row in here.expected().elements() if row[3])
        assert here.commit().standing == errors
        assert here.run() is None
        assert here.run(retry_errors=True) is None
    finally:
        shutil.rmtree(here.folder)


def test_killed_before_each_step(world: Callable[[], World]) -> None:
    """New, changed and gone files in one run, killed at each of its steps in turn."""
    for step in range(1, 100):
        here = world()
        here.put("a", [(1, "a"), (2, "bb"), (3, "dd")])
        here.put("b", [(4, "a"), (5, "bb")])
        here.put("c", [(6, "a")])
        here.run()
        before = here.held()
        here.put("a", [(1, "a"), (2, "changed"), (7, "new")])
        here.put("b", [])
        here.put("d", [(4, "a"), (8, "e")])
        here.run(kill_at=step)
        assert here.held() in (before, here.expected())
        killed = here.storage.steps >= step
        here.put("c", [(6, "other")])
        here.run()
        assert here.held() == here.expected()
        assert here.run() is None
        names = {path.name for path in (here.folder / "out").iterdir()}
        assert names == {"_delta_log", "_reindex", "_summary.json", "parts"}
        assert (here.folder / "out" / "_reindex" / "lock.json").exists() is False
        shutil.rmtree(here.folder)
        if not killed:
            return
    raise AssertionError("it never ended")
