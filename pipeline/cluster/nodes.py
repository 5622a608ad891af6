"""The nodes of the running Ray: how large they are, and on which of them reading and decoding may land."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray._private.state import state
from ray.util.accelerators import accelerators

from pipeline.common.errors import ConfigError

ACCELERATOR, NODE_ID = "ray.io/accelerator-type", "ray.io/node-id"  # labels that Ray itself gives to its nodes
KNOWN = {value for name, value in vars(accelerators).items() if name.isupper()}


@dataclass(frozen=True)
class Node:
    """cores, gpus: that Ray may use. address: of the machine. accelerator: Ray's name of its GPUs, where it has one."""

    cores: int
    gpus: float = 0.0
    id: str = ""
    address: str = ""
    accelerator: str | None = None

    def actors(self, cpus: int, gpus: float) -> int:
        """How many actors of this size fit."""
        fit = self.cores // cpus
        if not gpus:
            return fit
        by_gpus = math.floor(self.gpus) * math.floor(1 / gpus + 1e-6) if gpus < 1 else math.floor(self.gpus / gpus)
        return min(fit, by_gpus)


@dataclass(frozen=True)
class Nodes:
    """The nodes that are there. grows_to: CPU and GPU in all, where an autoscaler may bring more; else empty."""

    now: Sequence[Node]
    grows_to: dict[str, float]

    @property
    def cores(self) -> int:
        """Of all that are there."""
        return sum(node.cores for node in self.now)

    @property
    def gpus(self) -> float:
        """Of all that are there."""
        return sum(node.gpus for node in self.now)

    def can_have(self, resource: Literal["CPU", "GPU"]) -> float:
        """What there is, or may be."""
        return max(self.cores if resource == "CPU" else self.gpus, self.grows_to.get(resource, 0.0))


def running_nodes() -> Nodes:
    """The nodes of the running Ray."""
    found = [_node(values) for values in ray.nodes() if values["Alive"]]
    return Nodes(found, state.get_max_resources_from_cluster_config() or {})


def _node(values: dict[str, Any]) -> Node:
    has, accelerator = values["Resources"], values["Labels"].get(ACCELERATOR)
    place = values["NodeID"], values["NodeManagerAddress"]
    return Node(int(has.get("CPU", 0)), has.get("GPU", 0.0), *place, accelerator)


def decode_selector(decode_on: str | None, nodes: Nodes) -> dict[str, str]:
    """The label selector of the tasks that read and decode; empty where they may land on every node.

    Nodes with GPUs are known by the label that Ray gives to every node on which it finds an accelerator, so that it
    holds for nodes that join later too; those without it, by their ids. Raises ConfigError where nothing is left.
    """
    with_gpus = [node for node in nodes.now if node.gpus]
    others = sum(node.cores for node in nodes.now if not node.gpus)
    grows = nodes.grows_to.get("CPU", 0) > nodes.cores
    if decode_on == "cpu_nodes" and not others and not grows:
        raise ConfigError(
            "ray.decode_on: cpu_nodes, but every node of the cluster that has cores has GPUs; add a node without, "
            "or set all_nodes"
        )
    if decode_on == "all_nodes" or not (others or decode_on) or not (with_gpus or "GPU" in nodes.grows_to):
        return {}
    kinds = KNOWN | {node.accelerator for node in with_gpus if node.accelerator}
    unnamed = [node.id for node in with_gpus if not node.accelerator]
    selector = {ACCELERATOR: f"!in({','.join(sorted(kinds))})"}
    return {**selector, NODE_ID: f"!in({','.join(sorted(unnamed))})"} if unnamed else selector
