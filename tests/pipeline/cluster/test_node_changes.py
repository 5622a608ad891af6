"""Nodes that join and go are noticed while a job runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipeline.cluster.node_changes import nodes_watched


def test_a_change_is_told_once() -> None:
    changes, looks = [], threading.Semaphore(0)
    seen: Iterator[set[str]] = iter([{"a"}, {"a"}, {"a", "b"}, {"a", "b"}, {"b"}])

    def nodes() -> set[str]:
        looks.release()
        found = next(seen, {"b"})
        now.clear()
        now.update(found)
        return found

    now: set[str] = set()
    with nodes_watched(nodes, lambda: changes.append(set(now)), every=0.001):
        for _ in range(8):
            assert looks.acquire(timeout=60)
    assert changes == [{"a", "b"}, {"b"}]


def test_a_look_that_fails_is_followed_by_another() -> None:
    told, looks = threading.Event(), []

    def nodes() -> set[str]:
        looks.append(len(looks))
        if len(looks) == 2:
            raise RuntimeError("the head is gone")
        return {"a"} if len(looks) < 2 else {"a", "b"}

    with nodes_watched(nodes, told.set, every=0.001):
        assert told.wait(60)
    assert len(looks) >= 3
