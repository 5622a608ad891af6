"""Local paths on a cluster: a folder that only the driver's machine has is an error before any work is done."""

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
from vilt.common.hub import is_repository

ANSWER_SECONDS = 120.0  # a node's first worker has to start


def with_absolute_models(config: JobConfig) -> JobConfig:
    """Return the config for the workers, whose current folder may be another than the driver's."""
    given = config.model
    model: str | dict[Task, str] = (
        _absolute(given) if isinstance(given, str) else {task: _absolute(uri) for task, uri in given.items()}
    )
    tokenizer = config.tokenizer and _absolute(config.tokenizer)
    return config.model_copy(update={"model": model, "tokenizer": tokenizer})


def _absolute(uri: str) -> str:
    """Return a path from the root; a name that is no folder here and one of the hub, as a URI of the hub."""
    if urlsplit(uri).scheme:
        return uri
    return f"hf://{uri}" if is_repository(uri) and not os.path.exists(uri) else os.path.abspath(uri)


def local_paths(config: JobConfig, table: str, output: str) -> dict[str, str]:
    """Return the local folders that workers read or write, each with the key of the config that names it.

    Args:
        config: The job.
        table: URI of the table's folder.
        output: URI of the folder for results.
    """
    config = with_absolute_models(config)
    given = [("input.path", table), ("output.path", output), *(("model", uri) for uri in config.models)]
    given += [("tokenizer", config.tokenizer)] if config.tokenizer else []
    return {path: key for key, path in given if not urlsplit(path).scheme}


def other_machines(nodes: Sequence[Node]) -> list[Node]:
    """Return one node of every machine but the driver's."""
    by_address = {node.address: node for node in nodes}
    by_address.pop(get_node_ip_address(), None)
    return list(by_address.values())


def check_reach(paths: Mapping[str, str], nodes: Sequence[Node]) -> None:
    """Ask each node whether it sees these folders; a node that does not answer in time is skipped.

    Args:
        paths: Folder -> key of the config that names it.
        nodes: The nodes to ask.

    Raises:
        ConfigError: A node lacks a folder.
    """
    if not paths:
        return
    pending = {}
    for node in nodes:
        on_node = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task = ray.remote(_missing).options(num_cpus=0, scheduling_strategy=on_node)
        pending[task.remote(list(paths))] = node
    answered, _ = ray.wait(list(pending), num_returns=len(pending), timeout=ANSWER_SECONDS) if pending else ([], [])
    for answer in answered:
        try:
            missing = ray.get(answer)
        except ray.exceptions.RayError:
            continue
        for path in missing:
            raise ConfigError(
                f"{paths[path]}: {path!r} is not on node {pending[answer].address} of the cluster, only where the job "
                "was started; give s3://..., or a folder that every node has at this path"
            )


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]
