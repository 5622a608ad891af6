"""Nodes: how many actors fit, and where reading and decoding may run."""

from __future__ import annotations

import pytest

from pipeline import ConfigError
from pipeline.cluster.nodes import ACCELERATOR_LABEL, NODE_ID_LABEL, Node, Nodes, decode_selector

CPU = Node(cores=16, id="c")
GPU = Node(cores=8, gpus=2.0, id="g", accelerator="H100")
UNLABELLED = Node(cores=8, gpus=1.0, id="u")


@pytest.mark.parametrize(
    ("cores", "gpus", "size", "fit"),
    [
        (8, 0.0, (3, 0.0), 2),
        (8, 0.0, (9, 0.0), 0),
        (8, 2.0, (1, 1.0), 2),
        (8, 2.0, (1, 2.0), 1),
        (1, 4.0, (1, 1.0), 1),
        (8, 0.0, (1, 1.0), 0),
        (8, 2.0, (1, 0.5), 4),
        (8, 2.0, (1, 0.4), 4),
        (99, 1.0, (1, 0.1), 10),
        (99, 3.0, (1, 1 / 3), 9),
        (99, 3.5, (1, 2.0), 1),
    ],
)
def test_actors_of_a_node(cores: int, gpus: float, size: tuple[int, float], fit: int) -> None:
    """Shares of a GPU are of one GPU: two of 0.4 fit on one, and no third on two halves."""
    assert Node(cores, gpus).actors(*size) == fit


def test_what_there_is_and_may_be() -> None:
    nodes = Nodes([CPU, GPU], {"GPU": 8.0, "CPU": 10.0})
    assert (nodes.cores, nodes.gpus) == (24, 2.0)
    assert (nodes.can_have("GPU"), nodes.can_have("CPU")) == (8.0, 24)
    assert Nodes([], {}).can_have("CPU") == 0


@pytest.mark.parametrize(
    ("decode_on", "nodes"),
    [
        (None, Nodes([CPU], {})),
        ("cpu_nodes", Nodes([CPU], {})),
        ("all_nodes", Nodes([CPU, GPU], {})),
        (None, Nodes([GPU], {})),
        (None, Nodes([Node(cores=0), GPU], {})),
        ("all_nodes", Nodes([CPU, UNLABELLED], {})),
        (None, Nodes([GPU], {"CPU": 99.0})),
    ],
)
def test_every_node_may_decode(decode_on: str | None, nodes: Nodes) -> None:
    assert decode_selector(decode_on, nodes) == {}


@pytest.mark.parametrize("decode_on", [None, "cpu_nodes"])
def test_nodes_with_gpus_are_left_out_by_their_label(decode_on: str | None) -> None:
    selector = decode_selector(decode_on, Nodes([CPU, GPU], {}))
    assert set(selector) == {ACCELERATOR_LABEL}
    assert selector[ACCELERATOR_LABEL].startswith("!in(")
    names = selector[ACCELERATOR_LABEL].removeprefix("!in(").removesuffix(")").split(",")
    assert {"H100", "A100", "L4"} <= set(names), "those that may join, too"
    assert names == sorted(names)


def test_nodes_without_a_label_are_left_out_by_their_id() -> None:
    odd = Node(cores=4, gpus=1.0, id="x", accelerator="MY-GPU")
    selector = decode_selector(None, Nodes([CPU, UNLABELLED, GPU, odd, Node(1, 1.0, "a")], {}))
    assert selector[NODE_ID_LABEL] == "!in(a,u)"
    assert "MY-GPU" in selector[ACCELERATOR_LABEL]


def test_an_autoscaler_may_bring_nodes() -> None:
    assert ACCELERATOR_LABEL in decode_selector("cpu_nodes", Nodes([GPU], {"CPU": 99.0}))
    assert ACCELERATOR_LABEL in decode_selector(None, Nodes([CPU], {"GPU": 4.0}))


def test_a_selector_that_leaves_no_node() -> None:
    with pytest.raises(ConfigError) as caught:
        decode_selector("cpu_nodes", Nodes([GPU, Node(cores=0)], {}))
    assert str(caught.value) == (
        "ray.decode_on: cpu_nodes, but every node of the cluster that has cores has GPUs; add a node without, or set "
        "all_nodes"
    )
