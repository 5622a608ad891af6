"""Move many files of one storage to other names: in Ray tasks where a Ray runs, else in threads.

An object store has no rename: a move is a copy within the store and a removal. Copies are one request each, removals
one for many names.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import is_object_store, remove_files

MANY_MOVES = 2_000  # from which on tasks are worth their start
MOVES_PER_TASK = 1_000  # as many names as one request removes
IN_FLIGHT = 64  # copies of a task at a time
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
        OSError: See `pipeline.storage.filesystem.STORAGE_ERRORS`; some files are moved, some are not.
    """
    chunks = [moves[begin : begin + MOVES_PER_TASK] for begin in range(0, len(moves), MOVES_PER_TASK)]
    if not (moved_in_tasks(filesystem, len(moves)) and ray.is_initialized()):
        for chunk in chunks:
            _move(filesystem, chunk)
        return
    task: Any = ray.remote(num_cpus=1)(_move)
    ray.get([task.remote(filesystem, chunk) for chunk in chunks])


def _move(filesystem: AbstractFileSystem, moves: Sequence[Move]) -> None:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        if not is_object_store(filesystem):
            list(pool.map(lambda move: filesystem.mv(*move), moves))
            return
        list(pool.map(lambda move: filesystem.cp_file(*move), moves))
    remove_files(filesystem, [old for old, _ in moves])
