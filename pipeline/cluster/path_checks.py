"""Local paths on a cluster: what is a folder of the driver's machine alone is told before any work is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import ray
import ray.exceptions
from ray.util import get_node_ip_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.nodes import Node
from pipeline.common.errors import ConfigError
from pipeline.common.tasks import Task
from pipeline.config.job import JobConfig

ANSWER_SECONDS = 120.0  # a node's first worker has to start


def with_absolute_models(config: JobConfig) -> JobConfig:
    """The config for the workers, whose current folder may be another than the driver's."""
    given = config.model
    model: str | dict[Task, str] = (
        _absolute(given) if isinstance(given, str) else {task: _absolute(uri) for task, uri in given.items()}
    )
    tokenizer = config.tokenizer and _absolute(config.tokenizer)
    return config.model_copy(update={"model": model, "tokenizer": tokenizer})


def _absolute(uri: str) -> str:
    return uri if urlsplit(uri).scheme else os.path.abspath(uri)


def local_paths(config: JobConfig, table: str, output: str) -> dict[str, str]:
    """Local folder -> key of the config, of what the workers read or write. table, output: as URIs."""
    config = with_absolute_models(config)
    given = [("input.path", table), ("output.path", output), *(("model", uri) for uri in config.models)]
    given += [("tokenizer", config.tokenizer)] if config.tokenizer else []
    return {path: key for key, path in given if not urlsplit(path).scheme}


def other_machines(nodes: Sequence[Node]) -> list[Node]:
    """One node of every machine but the driver's."""
    by_address = {node.address: node for node in nodes}
    by_address.pop(get_node_ip_address(), None)
    return list(by_address.values())


def check_reach(paths: Mapping[str, str], nodes: Sequence[Node]) -> None:
    """Ask each node whether it sees the folders `paths`, folder -> key of the config; one that does not answer is
    passed over. Raises ConfigError naming a folder that is missing."""
    if not paths:
        return
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked[_missing.options(scheduling_strategy=there).remote(list(paths))] = node
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS) if asked else ([], [])
    for answer in answered:
        try:
            missing = ray.get(answer)
        except ray.exceptions.RayError:
            continue
        for path in missing:
            raise ConfigError(
                f"{paths[path]}: {path!r} is not on node {asked[answer].address} of the cluster, only where the job "
                "was started; give s3://..., or a folder that every node has at this path"
            )


@ray.remote(num_cpus=0)
def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]
