"""Forward passes side by side on a CPU, each on one core.

Operations that are spread over all cores end when the slowest core has ended. Passes that know nothing of each other
never wait, and the cores share the weights that they read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Yield the results, in order. One item alone has all of torch's threads; several have one each."""
    if threads == 1 or len(items) < 2:
        yield from map(function, items)
        return
    try:
        yield from _pool(threads).map(function, items)
    finally:
        torch.set_num_threads(torch.get_num_threads())  # the pool's have changed what a new thread begins with


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "pass", torch.set_num_threads, (1,))
