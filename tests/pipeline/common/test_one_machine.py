"""What a job's own Ray leaves out is where this project expects it, and what stands in answers as Ray's own does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.cluster.session import is_local_ray
from pipeline.common import one_machine
from pipeline.common.one_machine import NoStatistics, NoTracker, WholeMachine, without_cluster_actors
from pipeline.common.ray_compat import private

OLDER = tuple(map(int, ray.__version__.split(".")[:2])) < (2, 60)
newer_ray = pytest.mark.skipif(OLDER, reason="this release of Ray has other names, and starts all that it starts")
REPLACED = (one_machine.COORDINATOR, one_machine.TRACKER, one_machine.LOCATIONS, one_machine.STATISTICS)


def now(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


@newer_ray
def test_this_release_of_ray_has_all_of_them() -> None:
    """A canary. If it fails, find what took the place of the name, or live with Ray's own."""
    build = private(*one_machine.COMMANDS)
    assert build(one_machine.DASHBOARD_AGENT, "/tmp")[0] == sys.executable
    assert private("ray._private.ray_constants", "PROCESS_TYPE_DASHBOARD_AGENT") == one_machine.DASHBOARD_AGENT
    coordinator = private("ray.data._internal.cluster_autoscaler", "AutoscalingCoordinator")
    assert all(callable(getattr(WholeMachine, name)) for name in coordinator.__abstractmethods__)
    tracker = private("ray.data._internal.execution.node_trackers.actor_location", "ActorLocationTracker")
    methods = {
        name for name in vars(tracker.__ray_metadata__.modified_class) if name.endswith(("location", "locations"))
    }
    assert methods == {"update_actor_location", "get_actor_locations"}
    for name in ("register_dataset_to_stats_actor", "update_execution_metrics"):
        assert callable(getattr(private(*one_machine.STATISTICS), name))


@newer_ray
def test_they_are_replaced_only_while_it_is_open() -> None:
    before = [now(*name) for name in REPLACED]
    with without_cluster_actors():
        during = [now(*name) for name in REPLACED]
    assert during[0] is WholeMachine
    assert during[1] is NoTracker
    assert during[2](("an actor",)) == {}, "it is where it began"
    assert during[3] is NoStatistics
    assert [now(*name) for name in REPLACED] == before


@pytest.mark.parametrize("missing", REPLACED, ids=lambda name: name[1])
def test_a_release_that_lacks_one_starts_all(missing: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_machine, "private", lambda *name: None if name == missing else private(*name))
    before = [private(*name) for name in REPLACED]
    with without_cluster_actors():
        assert [private(*name) for name in REPLACED] == before


@newer_ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_flow_gets_what_rays_own_coordinator_gives_it() -> None:
    module = import_module("ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator")
    theirs = module._AutoscalingCoordinatorActor(send_resources_request=lambda *_, **__: None)
    kinds = private("ray.data._internal.cluster_autoscaler.base_autoscaling_coordinator", "STANDARD_RESOURCE_TYPES")
    theirs.request_resources(requester_id="a", resources=[], expire_after_s=60, request_remaining=kinds)
    ours = WholeMachine(requester_id="data-1", subcluster_selector=None)
    ours.request_resources(resources=[], expire_after_s=60, request_remaining=kinds)
    assert ours.get_reserved_resources() == theirs.get_reserved_resources("a")
    assert sum(held["CPU"] for held in ours.get_reserved_resources().values()) == 3
    ours.cancel_request()


@pytest.mark.usefixtures("ray_cluster")
def test_the_ray_of_the_tests_is_a_jobs_own_and_has_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_local_ray()
    node = private("ray._private.worker", "_global_node")
    assert OLDER or node.metrics_agent_port == -1, "nothing exports metrics"
    monkeypatch.setattr("pipeline.cluster.session._Started.address", "10.0.0.1:6379")
    assert not is_local_ray(), "a cluster keeps all that Ray starts"
    assert ray.is_initialized()


@newer_ray
def test_the_stand_in_for_the_agent_writes_what_ray_waits_for_and_ends_with_ray(tmp_path: Path) -> None:
    node = "ab" * 28
    options = [f"--session-dir={tmp_path}", f"--node-id={node}", "--metrics-export-port=0", "--head"]
    code = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=sys.stderr).pid, flush=True); input()"
    command = [sys.executable, "-I", "-S", str(one_machine.AGENT), "ray/dashboard/agent.py", *options]
    ray_like = subprocess.Popen(
        [sys.executable, "-c", code, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert ray_like.stdout
    agent = int(ray_like.stdout.readline())
    raylet = import_module("ray._raylet")
    ports = [raylet.METRICS_AGENT_PORT_NAME, raylet.METRICS_EXPORT_PORT_NAME, raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME]
    for port in ports:
        assert raylet.wait_for_persisted_port(str(tmp_path), node, port) == -1
    assert {path.name for path in tmp_path.iterdir()} == {f"{port}_{node}" for port in ports}
    assert Path(f"/proc/{agent}").exists()
    ray_like.communicate("\n")
    until = time.monotonic() + 60
    while time.monotonic() < until and _runs(agent):
        time.sleep(0.1)
    assert not _runs(agent)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
