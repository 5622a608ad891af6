"""Let Ray Data see at once which nodes join and go: by itself it looks every 20 seconds, and actors wait for that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from pipeline.common.ray_compat import refresh_reservations

logger = logging.getLogger(__name__)
EVERY = 1.0  # seconds between two looks
LAST_LOOK = 5.0  # seconds that a look may take when the job ends; more only if the head of the cluster is gone


@contextmanager
def nodes_watched(
    nodes: Callable[[], set[str]] | None = None,
    changed: Callable[[], None] = refresh_reservations,
    every: float = EVERY,
) -> Iterator[None]:
    """Call `changed` whenever other nodes are there than before, while it is open.

    Args:
        nodes: Returns the ids of the nodes that are there; by default those of the running Ray.
        changed: What to call.
        every: Seconds between two looks.
    """
    look, ended = nodes or alive_nodes, threading.Event()

    def watch() -> None:
        seen: set[str] | None = None
        while not ended.wait(every):
            try:
                now = look()
                if seen is not None and now != seen:
                    changed()
                seen = now
            except Exception as error:  # of gRPC, when the head is busy or gone: the job itself reports what is wrong
                logger.debug("nodes: %s", error)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_LOOK)


def alive_nodes() -> set[str]:
    """Return the ids of the running Ray's nodes."""
    return {str(node["NodeID"]) for node in ray.nodes() if node["Alive"]}
