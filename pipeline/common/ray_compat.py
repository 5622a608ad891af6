"""What this project uses of Ray beyond its documentation, each with a fallback.

`tests/pipeline/common/test_ray_compat.py` asks a running Ray for each: it fails if a release moves one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext as TaskContext  # what a Datasink is handed

# Loggers of Ray Data that print an exception which Ray raises as well. Fallback: it is printed twice.
ECHOING_LOGGERS = ("ray.data.exceptions", "ray.data._internal.execution.streaming_executor_state")
# Ray binds to the loopback address where clusters are off, as they are on macOS and Windows unless this is set.
CLUSTER_VARIABLE, CLUSTER_CONSTANT = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "ENABLE_RAY_CLUSTER"
# Milliseconds after which Ray takes a part of itself that has not started for dead; its 30 s are few on a busy machine.
START_VARIABLE, START_MILLISECONDS = "RAY_agent_register_timeout_ms", "120000"


@cache
def private(module: str, name: str) -> Any:
    """Return an object of Ray by the names of its module and of itself, or None if this release has none such."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def autoscaler_limits() -> dict[str, float]:
    """Return how many CPUs and GPUs an autoscaler may bring in all; empty without an autoscaler.

    Fallback: empty, so that sizes are judged by the nodes that are there.
    """
    state = private("ray._private.state", "state")
    limits = getattr(state, "get_max_resources_from_cluster_config", None)
    return dict(limits() or {}) if limits else {}


def kill_actor(actor_id: str) -> None:
    """End the actor with this id, hexadecimal, of which no handle is held.

    Fallback: nothing, and Ray ends the actor with the job.

    Raises:
        ValueError: The actor has ended already.
    """
    import ray

    worker = private("ray._private.worker", "global_worker")
    handle_of = getattr(getattr(worker, "core_worker", None), "get_actor_handle", None)
    if handle_of:
        ray.kill(handle_of(ray.ActorID.from_hex(actor_id)))


@contextmanager
def starting_on_loopback() -> Iterator[None]:
    """While it is open, a Ray that is started listens on the loopback address only, and may take its time to start.

    The processes of that Ray keep both for their life. Fallback: Ray listens on the addresses that it chooses.
    """
    constants = private("ray._private", "ray_constants")  # has read the variable when ray was imported
    known = hasattr(constants, CLUSTER_CONSTANT)
    imported = getattr(constants, CLUSTER_CONSTANT, None)
    before = {name: os.environ.get(name) for name in (CLUSTER_VARIABLE, START_VARIABLE)}
    os.environ[CLUSTER_VARIABLE] = "0"
    os.environ.setdefault(START_VARIABLE, START_MILLISECONDS)
    if known:
        setattr(constants, CLUSTER_CONSTANT, False)
    try:
        yield
    finally:
        if known:
            setattr(constants, CLUSTER_CONSTANT, imported)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
