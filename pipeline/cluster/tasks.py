"""Run a function on many values in Ray tasks, or in this process if no Ray runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
import ray.exceptions

from pipeline.common.errors import ConfigError, first_line

TASKS_PER_CORE = 2  # that wait or run, so that none of the cluster's cores waits for the driver
S = TypeVar("S")
T = TypeVar("T")


def in_tasks(do: Callable[[S], T], values: Iterable[S]) -> Iterator[T]:
    """Yield `do(value)` of each value, in order; values are taken when the cluster has use for them.

    Raises:
        ConfigError: As `do` raises it; tasks that wait are cancelled.
    """
    if not ray.is_initialized():
        yield from map(do, values)
        return
    most = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
    task: Any = ray.remote(num_cpus=1)(_call)
    shared, waiting = ray.put(do), list[Any]()
    try:
        for value in values:
            waiting.append(task.remote(shared, value))
            if len(waiting) >= most:
                yield ray.get(waiting.pop(0))
        while waiting:
            yield ray.get(waiting.pop(0))
    except ray.exceptions.RayTaskError as error:
        for one in waiting:
            ray.cancel(one)
        if isinstance(error.cause, ConfigError):
            raise ConfigError(first_line(error.cause)) from None
        raise


def _call(do: Callable[[S], T], value: S) -> T:
    return do(value)
