"""The undocumented parts of Ray that this project uses are where it expects them; without them it works, too."""

from __future__ import annotations

import gc
import os
import signal
import time
from importlib import import_module
from inspect import signature
from typing import Any

import pytest
import ray
import ray.exceptions
from ray.data import ActorPoolStrategy

from pipeline.common import ray_compat
from pipeline.common.ray_compat import (
    ECHOING_LOGGERS,
    autoscaler_limits,
    calls_at_a_time,
    keeping_sigterm,
    kill_actor,
    refresh_reservations,
    spilled_bytes,
    starting_locally,
)
from pipeline.common.worker_settings import COLLECT_AFTER

COORDINATOR_MODULE = "ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator"


@ray.remote(num_cpus=0)
class Sleeper:
    def id(self) -> str:
        return str(ray.get_runtime_context().get_actor_id())


@ray.remote
class Busy:
    def ready(self) -> None:
        """Return once it has its cores."""


def test_calls_of_an_actor_at_a_time() -> None:
    assert calls_at_a_time(1) == {}
    named = ActorPoolStrategy(size=1, **calls_at_a_time(2))
    assert vars(named).get("max_concurrent_calls_per_actor", 2) == 2


@pytest.mark.usefixtures("ray_cluster")
def test_this_release_of_ray_has_all_of_them() -> None:
    """A canary. Where it fails, find what took the place of the name, or live with the fallback."""
    assert hasattr(ray_compat.private("ray._private.state", "state"), "get_max_resources_from_cluster_config")
    assert hasattr(ray_compat.private("ray._private.worker", "global_worker").core_worker, "get_actor_handle")
    assert isinstance(ray_compat.private("ray._private", "ray_constants").ENABLE_RAY_CLUSTER, bool)
    assert callable(ray_compat.private("ray._private.services", "start_api_server"))
    state = ray_compat.private("ray._private.internal_api", "get_state_from_address")
    reply = ray_compat.private("ray._private.internal_api", "get_memory_info_reply")
    store = reply(state(ray.get_runtime_context().gcs_address)).store_stats
    assert store.spilled_bytes_total == spilled_bytes() >= 0
    parameters = signature(ray_compat.private("ray._private.parameter", "RayParams")).parameters
    assert ray_compat.LOCAL_PARAMETERS.keys() <= parameters.keys()
    for name in ECHOING_LOGGERS:
        module = import_module(name)
        assert any(getattr(value, "name", None) == name for value in vars(module).values()), f"{name} logs"


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_has_its_settings_before_it_works() -> None:
    assert ray.get(ray.remote(lambda: gc.get_threshold()).remote())[0] == COLLECT_AFTER


@pytest.mark.usefixtures("ray_cluster")
def test_ray_data_looks_for_nodes_when_it_is_told_to() -> None:
    refresh_reservations()  # there is nobody to tell
    coordinator = ray_compat.private(COORDINATOR_MODULE, "_AutoscalingCoordinatorActor")
    [look] = [name for name in ray_compat.LOOK if callable(getattr(coordinator, name, None))]
    made = ray_compat.private(COORDINATOR_MODULE, "get_or_create_autoscaling_coordinator")()
    try:
        name = ray_compat.COORDINATOR
        found = ray.get_actor(name, namespace=name)
        assert found._actor_id == made._actor_id
        refresh_reservations()
        assert ray.get(getattr(found, look).remote(), timeout=60) is None
    finally:
        ray.kill(made)  # it would stay beyond the tests


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_without_work_stays_while_all_cores_are_in_use() -> None:
    """Ray would end it after a second: each file of results would be written by a process of its own."""
    busy = Busy.options(num_cpus=ray.cluster_resources()["CPU"]).remote()  # type: ignore[attr-defined]
    ray.get(busy.ready.remote(), timeout=120)
    try:
        pid = ray.remote(num_cpus=0)(lambda: os.getpid())
        first = ray.get(pid.remote(), timeout=120)
        time.sleep(2.5)
        assert ray.get(pid.remote(), timeout=120) == first
    finally:
        ray.kill(busy)


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_is_ended_by_its_id() -> None:
    actor = Sleeper.remote()  # type: ignore[attr-defined]
    kill_actor(ray.get(actor.id.remote()))

    def call_for_a_minute() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:  # Ray ends it a moment later
            ray.get(actor.id.remote(), timeout=60)
            time.sleep(0.1)

    with pytest.raises(ray.exceptions.RayActorError):
        call_for_a_minute()


@pytest.mark.usefixtures("ray_cluster")
def test_without_an_autoscaler_there_are_no_limits() -> None:
    assert autoscaler_limits() == {}


@pytest.mark.usefixtures("ray_cluster")
def test_a_release_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(module: str, name: str) -> Any:
        del module, name

    monkeypatch.setattr(ray_compat, "private", nothing)
    actor = Sleeper.remote()  # type: ignore[attr-defined]
    kill_actor(ray.get(actor.id.remote()))
    assert ray.get(actor.id.remote(), timeout=60), "Ray will end it with the job"
    assert autoscaler_limits() == {}
    assert spilled_bytes() == 0
    with starting_locally():
        assert os.environ[ray_compat.CLUSTER_VARIABLE] == "0"
    assert ray_compat.private("no.such.module", "name") is None


def test_a_name_that_is_not_there() -> None:
    assert ray_compat.private("ray.no_such_module", "name") is None
    assert ray_compat.private("ray", "no_such_name") is None


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = ray_compat.private("ray._private", "ray_constants")
    monkeypatch.delenv(ray_compat.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv(ray_compat.START_VARIABLE, "7")
    monkeypatch.delenv(ray_compat.IDLE_VARIABLE, raising=False)
    monkeypatch.setenv(ray_compat.PRELOAD_VARIABLE, "theirs")
    names = {"ray._private.services": "start_api_server", "ray._private.parameter": "RayParams"}
    before = dict(os.environ), constants.ENABLE_RAY_CLUSTER
    found = {name: getattr(import_module(module), name) for module, name in names.items()}
    with starting_locally():
        assert os.environ[ray_compat.CLUSTER_VARIABLE] == "0"
        assert os.environ[ray_compat.START_VARIABLE] == "7", "what the user has set holds"
        assert os.environ[ray_compat.IDLE_VARIABLE] == ray_compat.IDLE_MILLISECONDS
        assert os.environ[ray_compat.PRELOAD_VARIABLE] == "theirs,pipeline.common.worker_settings"
        assert constants.ENABLE_RAY_CLUSTER is False
    assert (dict(os.environ), constants.ENABLE_RAY_CLUSTER) == before
    assert found == {name: getattr(import_module(module), name) for module, name in names.items()}


@pytest.mark.usefixtures("ray_cluster")
def test_what_workers_print_does_not_get_among_results(capfd: pytest.CaptureFixture[str]) -> None:
    ray.get(ray.remote(num_cpus=0)(lambda: print("a word of a worker")).remote())
    until, found = time.monotonic() + 60, ""
    while time.monotonic() < until and "a word of a worker" not in found:
        time.sleep(0.1)
        out, err = capfd.readouterr()
        found += err
        assert "a word" not in out
    assert "a word of a worker" in found


def test_what_python_does_at_sigterm_stays() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with keeping_sigterm():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray does, in its own way
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with keeping_sigterm():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler, "Ray's own, where there was none"
    finally:
        signal.signal(signal.SIGTERM, before)
