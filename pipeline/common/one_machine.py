"""What a Ray that one job starts on one machine leaves out: services of clusters and of dashboards.

Each is a Python process that takes half a second to one and a half of a core to start. A release of Ray that lacks one
of the names that are changed here starts all of its own; `tests/pipeline/common/test_one_machine.py` fails if one after
2.60 does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray

from pipeline.common.ray_compat import private, replaced

AGENT = Path(__file__).with_name("no_agent.py")
DASHBOARD_AGENT = "dashboard_agent"  # Ray's name of the kind of process
COMMANDS = ("ray._private.services", "_build_python_executable_command_memory_profileable")
PORT_FILES = ("ray._raylet", "METRICS_AGENT_PORT_NAME")  # by which an agent says which services it has
COORDINATOR = ("ray.data._internal.cluster_autoscaler.rate_based_cluster_autoscaler", "DefaultAutoscalingCoordinator")
TRACKER = ("ray.data._internal.execution.operators.actor_pool_map_operator", "get_or_create_actor_location_tracker")
LOCATIONS = ("ray.data._internal.execution.operators.actor_pool_map_operator", "get_actor_locations")
STATISTICS = ("ray.data._internal.execution.streaming_executor", "_StatsManager")
SHARED = ("CPU", "GPU", "memory", "object_store_memory")  # what Ray Data's operators share


@contextmanager
def without_dashboard_agent() -> Iterator[None]:
    """While it is open, a Ray that is started has no agent that exports metrics and reports to the dashboard.

    Releases that cannot be told that there is none complain on the terminal: there it starts.
    """

    def changed(build: Callable[..., list[str]]) -> Callable[..., list[str]]:
        def command(component: str, *arguments: Any, **options: Any) -> list[str]:
            if component == DASHBOARD_AGENT:  # Ray appends the path of its script, and the options
                return [sys.executable, "-I", "-S", str(AGENT)]
            return build(component, *arguments, **options)

        return command

    with ExitStack() as stack:
        if private(*PORT_FILES) is not None:
            replaced(stack, *COMMANDS, changed)
        yield


@contextmanager
def without_cluster_actors() -> Iterator[None]:
    """While it is open, Ray Data starts none of its own actors.

    They ask an autoscaler for nodes, know on which node each actor is, and keep statistics for the dashboard.
    """
    with ExitStack() as stack:
        if not all(private(*name) for name in (COORDINATOR, TRACKER, LOCATIONS, STATISTICS)):
            yield
            return
        replaced(stack, *COORDINATOR, lambda _: WholeMachine)
        replaced(stack, *TRACKER, lambda _: NoTracker)
        replaced(stack, *LOCATIONS, lambda _: _no_locations)
        replaced(stack, *STATISTICS, lambda _: NoStatistics)
        yield


class WholeMachine:
    """Gives a flow all resources of the nodes that are there, as Ray Data's coordinator gives them to the only flow."""

    def __init__(self, *_: object, **__: object) -> None:
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        self.resources = {
            node: {name: share for name in SHARED if (share := held.get(name, 0) // 1) > 0}
            for node, held in nodes.items()
        }

    def request_resources(self, *_: object, **__: object) -> None:
        """Do nothing: there is no autoscaler to ask."""

    def cancel_request(self) -> None:
        """Do nothing."""

    def get_reserved_resources(self) -> Mapping[str, Mapping[str, float]]:
        """Return the resources of each node, by its id."""
        return {node: dict(held) for node, held in self.resources.items()}


class NoTracker:
    """Stands for the actor that is told on which node each actor of a pool is."""

    class update_actor_location:  # noqa: N801 - the name of the actor's method
        """The method that an actor calls once it is ready."""

        @staticmethod
        def remote(*_: object) -> None:
            """Do nothing."""


def _no_locations(actors: tuple[str, ...]) -> dict[str, str]:
    """Return on which node each actor is, if that has changed since it began: never."""
    del actors
    return {}


class NoStatistics:
    """Takes the statistics of a flow, and keeps none."""

    @staticmethod
    def register_dataset_to_stats_actor(*_: object, **__: object) -> None:
        """Do nothing."""

    @staticmethod
    def update_execution_metrics(*_: object, **__: object) -> None:
        """Do nothing."""
