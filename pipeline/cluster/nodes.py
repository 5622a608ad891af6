"""The nodes of the running Ray: how large they are, and on which of them reading and decoding may run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.util.accelerators import accelerators

from pipeline.common.errors import ConfigError
from pipeline.common.ray_compat import autoscaler_limits

ACCELERATOR_LABEL, NODE_ID_LABEL = "ray.io/accelerator-type", "ray.io/node-id"  # Ray itself labels its nodes with them
KNOWN_ACCELERATORS = {value for name, value in vars(accelerators).items() if name.isupper()}


@dataclass(frozen=True)
class Node:
    """A node of Ray.

    Attributes:
        cores: Cores that Ray may use.
        gpus: GPUs that Ray may use.
        id: Ray's id of the node.
        address: Address of the machine.
        accelerator: Ray's name of its GPUs, if it has one.
    """

    cores: int
    gpus: float = 0.0
    id: str = ""
    address: str = ""
    accelerator: str | None = None

    def actors(self, cpus: int, gpus: float) -> int:
        """Return how many actors of this size fit."""
        fit = self.cores // cpus
        if not gpus:
            return fit
        by_gpus = math.floor(self.gpus) * math.floor(1 / gpus + 1e-6) if gpus < 1 else math.floor(self.gpus / gpus)
        return min(fit, by_gpus)


@dataclass(frozen=True)
class Nodes:
    """The nodes of a Ray.

    Attributes:
        now: The nodes that are there.
        grows_to: "CPU" and "GPU" -> how many in all, if an autoscaler may bring more; else empty.
    """

    now: Sequence[Node]
    grows_to: dict[str, float]

    @property
    def cores(self) -> int:
        """Return the cores of all nodes that are there."""
        return sum(node.cores for node in self.now)

    @property
    def gpus(self) -> float:
        """Return the GPUs of all nodes that are there."""
        return sum(node.gpus for node in self.now)

    def can_have(self, resource: Literal["CPU", "GPU"]) -> float:
        """Return how much of a resource there is, or may be once the autoscaler has brought all nodes."""
        return max(self.cores if resource == "CPU" else self.gpus, self.grows_to.get(resource, 0.0))


def running_nodes() -> Nodes:
    """Return the nodes of the running Ray."""
    return Nodes([_node(values) for values in ray.nodes() if values["Alive"]], autoscaler_limits())


def _node(values: dict[str, Any]) -> Node:
    resources = values["Resources"]
    return Node(
        cores=int(resources.get("CPU", 0)),
        gpus=resources.get("GPU", 0.0),
        id=values["NodeID"],
        address=values["NodeManagerAddress"],
        accelerator=values["Labels"].get(ACCELERATOR_LABEL),
    )


def decode_selector(decode_on: str | None, nodes: Nodes) -> dict[str, str]:
    """Return the label selector of the tasks that read and decode; empty if they may run on every node.

    Nodes with GPUs are known by the label that Ray gives to every node on which it finds an accelerator, so the
    selector holds for nodes that join later too. Nodes with GPUs and without that label are known by their ids.

    Raises:
        ConfigError: The selector would leave no node.
    """
    with_gpus = [node for node in nodes.now if node.gpus]
    cores_without_gpus = sum(node.cores for node in nodes.now if not node.gpus)
    grows = nodes.grows_to.get("CPU", 0) > nodes.cores
    if decode_on == "cpu_nodes" and not cores_without_gpus and not grows:
        raise ConfigError(
            "ray.decode_on: cpu_nodes, but every node of the cluster that has cores has GPUs; add a node without, "
            "or set all_nodes"
        )
    no_gpus = not with_gpus and "GPU" not in nodes.grows_to
    if decode_on == "all_nodes" or no_gpus or not (cores_without_gpus or decode_on):
        return {}
    kinds = KNOWN_ACCELERATORS | {node.accelerator for node in with_gpus if node.accelerator}
    selector = {ACCELERATOR_LABEL: f"!in({','.join(sorted(kinds))})"}
    unlabelled = sorted(node.id for node in with_gpus if not node.accelerator)
    return {**selector, NODE_ID_LABEL: f"!in({','.join(unlabelled)})"} if unlabelled else selector
