"""The Ray of a job: the cluster that a config names, or say in one line why that cannot be; or one of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray

from pipeline.common.errors import ConfigError, RayFailedError, first_line

ANSWER_SECONDS = 10.0  # without an answer Ray itself would ask for minutes


def connect(address: str) -> None:
    """Make this process the driver of a job on the cluster at `address`: "auto", for the one that has a node here, or
    HOST:PORT. Raises ConfigError."""
    if urlsplit(address).scheme in ("ray", "http", "https"):
        raise ConfigError(
            f"ray.address: {address!r} is for submitting jobs; start the command on a node of the cluster, as "
            "`ray job submit` does, with auto or HOST:6379"
        )
    try:
        host, colon, port = address.rpartition(":")
        if colon:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        ray.init(address=address, logging_level="warning")
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray.address: no Ray cluster at {address!r}: {first_line(error)}") from None


def start_local() -> None:
    """A Ray of this process's own, with one core more than there are: reading and decoding share them with the
    model."""
    cores = (os.cpu_count() or 1) + 1
    try:
        ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="warning")
    except Exception as error:  # Ray raises plain exceptions here, most of them when the machine is too busy
        raise RayFailedError(
            f"Ray did not start on this machine: {first_line(error)}; run the same command again "
            "when the machine is less busy"
        ) from error


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """A running Ray: the caller's, the cluster at `address` or RAY_ADDRESS, or one on this machine that ends here.

    Raises ConfigError where there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        connect(address)
    else:
        start_local()
    try:
        yield
    finally:
        ray.shutdown()
