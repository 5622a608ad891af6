"""The actor pool on machines from two cores to a GPU node."""

from typing import Any

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.cluster.actor_pool import Pool, fit_pool, one_machine
from pipeline.cluster.nodes import Node, Nodes
from pipeline.common.ray_compat import calls_at_a_time


def config(**actors: Any) -> JobConfig:
    values = {"input": {"path": "i"}, "model": "m", "output": {"path": "o"}, "actors": actors}
    return JobConfig.parse("score", values)


@pytest.mark.parametrize(
    ("cores", "gpus", "expected"),
    [
        (2, 0, Pool(1, 1, 0.0, 16_384, 2_000)),
        (3, 0, Pool(1, 2, 0.0, 16_384, 2_000)),  # a machine of two cores: see `ray_session`
        (9, 0, Pool(1, 8, 0.0, 16_384, 2_000)),
        (65, 0, Pool(7, 8, 0.0, 16_384, 2_000)),
        (16, 1, Pool(1, 1, 1.0, 65_536, 100_000)),
        (96, 8, Pool(8, 1, 1.0, 65_536, 100_000)),
    ],
)
def test_defaults(cores: int, gpus: float, expected: Pool) -> None:
    assert fit_pool(config(), one_machine(cores, gpus)) == expected


def test_an_actor_with_a_gpu_reads_the_next_micro_batch_meanwhile() -> None:
    with_gpu, without = (fit_pool(config(), one_machine(16, gpus)) for gpus in (1, 0))
    assert (with_gpu.calls, with_gpu.threads) == (2, 4)
    assert (without.calls, without.threads) == (1, without.cpus)
    for pool in (with_gpu, without):
        expected = calls_at_a_time(pool.calls).items()  # of a release of Ray that knows such
        assert expected <= vars(pool.strategy).items()


def test_what_the_config_asks_for() -> None:
    assert fit_pool(config(gpus=0.5), one_machine(16, 2)) == Pool(4, 1, 0.5, 65_536, 100_000)
    assert fit_pool(config(gpus=0), one_machine(17, 2)) == Pool(1, 15, 0.0, 16_384, 2_000)
    assert fit_pool(config(count=2, cpus=3), one_machine(8, 0)) == Pool(2, 3, 0.0, 16_384, 2_000)


@pytest.mark.parametrize(
    ("actors", "message"),
    [
        ({"count": 3}, "3 actors of 1 GPUs need more than the 2 that Ray has"),
        ({"gpus": 0, "count": 2, "cpus": 4}, "2 actors of 4 cores leave none for reading and decoding; Ray has 8"),
    ],
)
def test_more_than_there_is(actors: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_pool(config(**actors), one_machine(8, 2))


HEAD, CPU, GPU = Node(0), Node(16, id="c"), Node(8, 1.0, id="g", accelerator="H100")


def pool(nodes: list[Node], grows_to: dict[str, float] | None = None, **actors: Any) -> Pool:
    return fit_pool(config(**actors), Nodes(nodes, grows_to or {}))


def test_a_mixed_cluster_decodes_on_its_cpu_nodes() -> None:
    found = pool([HEAD, CPU, GPU, GPU])
    assert (found.count, found.cpus, found.gpus, found.least) == (2, 1, 1.0, None)
    assert found.decode_on
    assert "H100" in found.decode_on["ray.io/accelerator-type"]


def test_a_share_of_a_gpu_is_of_one_gpu() -> None:
    assert pool([CPU, GPU, GPU], gpus=0.4).count == 4, "two on each, and not five on two"
    assert pool([CPU, Node(8, 8.0)], gpus=3).count == 2


def test_an_elastic_pool() -> None:
    found = pool([HEAD, CPU, GPU], max=8)
    assert (found.least, found.count) == (1, 8)
    assert pool([HEAD, CPU, GPU], min=1, max=2).strategy.max_size == 2


def test_small_nodes_share_no_actor() -> None:
    found = pool([Node(4)] * 10)
    assert (found.count, found.cpus) == (8, 4)
    assert pool([Node(4)] * 3, count=4).cpus == 2, "two nodes of four cores hold two each"


def test_what_an_autoscaler_may_bring_counts() -> None:
    assert pool([HEAD], {"CPU": 64.0, "GPU": 8.0}, count=8, gpus=1).count == 8
    with pytest.raises(ConfigError, match="9 actors of 1 GPUs need more than the 8 that Ray has"):
        pool([HEAD], {"CPU": 64.0, "GPU": 8.0}, count=9, gpus=1)


@pytest.mark.parametrize(
    ("actors", "message"),
    [
        ({"count": 2, "max": 3}, "actors.count: set beside actors.max"),
        ({"min": 2}, "actors.min: set without actors.max"),
        ({"min": 3, "max": 2}, "actors.max: 2 is less than actors.min, which is 3"),
        ({"gpus": 1.5}, "actors.gpus: 1.5 is no share of one GPU"),
        ({"min": 3, "max": 9}, "3 actors of 1 GPUs need more than the 2 that Ray has"),
        ({"gpus": 0.4, "count": 5}, "5 actors of 0.4 GPUs and 1 core do not fit; the nodes of Ray have room for 4"),
        ({"gpus": 0, "count": 2, "cpus": 12}, "2 actors of 12 cores do not fit; the nodes of Ray have room for 1"),
    ],
)
def test_pools_that_cannot_be(actors: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pool([CPU, GPU, GPU], **actors)


@pytest.mark.parametrize(
    ("precision", "gpus", "message"),
    [
        ("int8", 1, "int8 is for CPUs, and the actors have GPUs"),
        ("float8", 0, "float8 is for GPUs, and the actors have"),
    ],
)
def test_a_precision_that_the_actors_do_not_have(precision: str, gpus: int, message: str) -> None:
    wanted = config().model_copy(update={"precision": precision})
    assert fit_pool(wanted, one_machine(8, 1 - gpus)).gpus == 1 - gpus
    with pytest.raises(ConfigError, match=f"precision: {message}"):
        fit_pool(wanted, one_machine(8, gpus))
