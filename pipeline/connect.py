"""The Ray of a job: the cluster that a config names, or say in one line why that cannot be; or one of its own."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import ray

from pipeline.sections import ConfigError
from pipeline.unify import first_line

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
    ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="warning")
