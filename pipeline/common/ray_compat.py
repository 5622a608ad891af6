"""What this project uses of Ray beyond its documentation, each with a fallback.

`tests/pipeline/common/test_ray_compat.py` asks a running Ray for each: it fails if a release moves one.
"""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
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
# Modules that each worker process imports when it starts. Fallback: none, and workers take half a second more to start.
PRELOAD_VARIABLE, PRELOADED = "RAY_preload_python_modules", "pipeline.common.worker_settings"
# Milliseconds after which Ray ends a worker process without work while all cores are in use. Its 1 s is less than lies
# between two files of results: each file would be written by a process of its own, which takes 2 s of a core to start.
IDLE_VARIABLE, IDLE_MILLISECONDS = "RAY_idle_worker_killing_time_threshold_ms", "600000"
# Name and namespace of the actor that tells Ray Data's flows which nodes they have, and its method that looks anew, by
# its names from the newest release to the oldest.
COORDINATOR, LOOK = "AutoscalingCoordinator", ("_tick", "tick")
PRINTING = "ray_print_logs"  # Ray's name of what prints the lines of workers
LOCAL_PARAMETERS = {"no_monitor": True, "dashboard_agent_listen_port": 0}  # of RayParams


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


def calls_at_a_time(count: int) -> dict[str, int]:
    """Return what makes an `ActorPoolStrategy` of so many calls of an actor at a time, the model in one thread.

    Fallback: nothing, so that an actor takes one call at a time; Ray 2.53 knows no other.
    """
    from ray.data import ActorPoolStrategy

    name = "max_concurrent_calls_per_actor"
    known = count > 1 and name in inspect.signature(ActorPoolStrategy).parameters
    return {name: count} if known else {}


def spilled_bytes() -> int:
    """Return how many bytes the running Ray has moved from its object stores to disk since it started.

    Fallback: 0, so that nobody is told.
    """
    import ray

    state_of = private("ray._private.internal_api", "get_state_from_address")
    reply_of = private("ray._private.internal_api", "get_memory_info_reply")
    if not (state_of and reply_of):
        return 0
    try:
        reply = reply_of(state_of(ray.get_runtime_context().gcs_address))
    except Exception:  # of gRPC, when a node is busy or gone; the next look tells
        return 0
    return int(reply.store_stats.spilled_bytes_total)


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


def refresh_reservations() -> None:
    """Let Ray Data look now which nodes there are, which it does every 20 seconds by itself.

    Fallback: nothing, and an actor for a new node waits until then.
    """
    import ray

    try:
        coordinator = ray.get_actor(COORDINATOR, namespace=COORDINATOR)
    except ValueError:  # a release without it, or no flow has begun
        return
    for name in LOOK:
        if (look := getattr(coordinator, name, None)) is not None:
            look.remote()
            return


def print_to_stderr() -> None:
    """Let the running Ray print to stderr what its workers and its autoscaler print: stdout is for results.

    Fallback: they print where they choose.
    """
    streams = private("ray._private.ray_logging", "global_worker_stdstream_dispatcher")
    printing = dict(getattr(streams, "handlers", ())).get(PRINTING)
    if printing:
        streams.remove_handler(PRINTING)
        streams.add_handler(PRINTING, lambda lines: printing({**lines, "is_err": True}))


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Keep what Python does at SIGTERM, while it is open and then: Ray would print stacks of its C++ code first."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before if callable(before) else signal.getsignal(signal.SIGTERM))


@contextmanager
def starting_locally() -> Iterator[None]:
    """While it is open, a Ray that is started is one for a single job on this machine.

    It listens on the loopback address only and may take its time to start; its processes keep both for their life. It
    has no autoscaler and no web server, which nobody would use, and its agent takes a free port: on the usual one it
    waits three seconds for another Ray to end. Fallback: Ray starts with all of these, as it chooses.
    """
    with ExitStack() as stack:
        patch = partial(replaced, stack)
        # Ray reads its variable when it is imported, and hands it on to its processes.
        patch("ray._private.ray_constants", CLUSTER_CONSTANT, lambda _: False)
        patch("ray._private.parameter", "RayParams", lambda params: partial(params, **LOCAL_PARAMETERS))
        patch("ray._private.services", "start_api_server", lambda _: _start_no_server)
        defaults = {START_VARIABLE: START_MILLISECONDS, IDLE_VARIABLE: IDLE_MILLISECONDS}
        kept = {name: os.environ.get(name, value) for name, value in defaults.items()}
        preloaded = ",".join(filter(None, [os.environ.get(PRELOAD_VARIABLE), PRELOADED]))
        values = {CLUSTER_VARIABLE: "0", PRELOAD_VARIABLE: preloaded, **kept}
        stack.enter_context(_environment(values))
        yield


def _start_no_server(*_: object, **__: object) -> tuple[None, None]:
    """Stand in for the function that starts the web server; returns its address and its process."""
    return None, None


def replaced(stack: ExitStack, module: str, name: str, change: Callable[[Any], Any]) -> None:
    """Change a name of Ray until the stack is closed, if this release has it.

    Args:
        stack: Restores what was there.
        module: Name of the module.
        name: The name in it.
        change: What was there -> what is there.
    """
    before = private(module, name)
    if before is not None:
        setattr(import_module(module), name, change(before))
        stack.callback(setattr, import_module(module), name, before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables while it is open."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
