"""Move many files of one storage to other names: in Ray tasks if a Ray runs, else in threads.

An object store has no rename: a move is a copy within the store and a removal. Copies are one request each, removals
one for many names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray
from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import is_object_store, patiently, remove_files

MANY_MOVES = 2_000  # from which on tasks are worth their start
MOVES_PER_TASK = 1_000  # as many names as one request removes
IN_FLIGHT = 64  # copies of a task at a time
TASKS_PER_CORE = 2  # that wait or run
WAIT_SECONDS = 0.1  # for a task, before this process looks whether its own files are moved
Move = tuple[str, str]  # from, to


def moved_in_tasks(filesystem: AbstractFileSystem, files: int) -> bool:
    """Return whether so many files are moved in Ray tasks, if a Ray runs."""
    return files >= MANY_MOVES and is_object_store(filesystem)


def move_files(filesystem: AbstractFileSystem, moves: Sequence[Move]) -> None:
    """Move files; one that is stopped leaves each file at its old name, or its new one, or both.

    Args:
        filesystem: The storage.
        moves: Old name and new name of each file; folders of the new names exist.

    Raises:
        OSError: See `pipeline.storage.filesystem.storage_errors`; some files are moved, some are not.
    """
    chunks = [moves[begin : begin + MOVES_PER_TASK] for begin in range(0, len(moves), MOVES_PER_TASK)]
    if moved_in_tasks(filesystem, len(moves)) and ray.is_initialized():
        _move_in_tasks(filesystem, chunks)
        return
    for chunk in chunks:
        _move(filesystem, chunk)


def _move_in_tasks(filesystem: AbstractFileSystem, chunks: Sequence[Sequence[Move]]) -> None:
    """Move chunks in tasks, and in this process too: tasks may wait many seconds for their workers to start."""
    most = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
    task: Any = ray.remote(num_cpus=1)(_move)
    left, running = deque(chunks), list[Any]()
    with ThreadPoolExecutor(1) as driver:
        moving: Future[None] | None = None
        try:
            while left or running:
                while left and len(running) < most:
                    running.append(task.remote(filesystem, left.popleft()))
                if moving is not None and moving.done():
                    moving.result()
                    moving = None
                if left and moving is None:
                    moving = driver.submit(_move, filesystem, left.popleft())
                done, running = ray.wait(running, timeout=WAIT_SECONDS)
                ray.get(done)
            if moving is not None:
                moving.result()
        finally:
            for one in running:
                ray.cancel(one)


def _move(filesystem: AbstractFileSystem, moves: Sequence[Move]) -> None:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        if not is_object_store(filesystem):
            list(pool.map(lambda move: filesystem.mv(*move), moves))
            return
        list(pool.map(lambda move: _copy(filesystem, *move), moves))
    remove_files(filesystem, [old for old, _ in moves])


def _copy(filesystem: AbstractFileSystem, old: str, new: str) -> None:
    """Copy an object; again and again if the store is too busy for so many at a time."""

    def copy() -> Iterator[None]:
        yield filesystem.cp_file(old, new)

    list(patiently(copy, new))
