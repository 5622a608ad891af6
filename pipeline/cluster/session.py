"""The Ray of a job: the caller's, a cluster, or one that is started on this machine and ends with the job."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray

from pipeline.common.errors import ConfigError, RayFailedError, first_line
from pipeline.common.ray_compat import starting_on_loopback

CONNECT_SECONDS = 10.0  # without an answer Ray itself would ask for minutes


def connect(address: str) -> None:
    """Connect this process, as the driver of a job, to a running cluster.

    Args:
        address: "auto" for the cluster that has a node on this machine, or HOST:PORT.

    Raises:
        ConfigError: The address is not one of a cluster, or no cluster answers there.
    """
    if urlsplit(address).scheme in ("ray", "http", "https"):
        raise ConfigError(
            f"ray.address: {address!r} is for submitting jobs; start the command on a node of the cluster, as "
            "`ray job submit` does, with auto or HOST:6379"
        )
    try:
        host, colon, port = address.rpartition(":")
        if colon:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, logging_level="warning")
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray.address: no Ray cluster at {address!r}: {first_line(error)}") from None


def start_local() -> None:
    """Start a Ray on this machine that only this machine can reach.

    It has one core more than there are: reading and decoding share them with the model.

    Raises:
        RayFailedError: It did not start in time.
    """
    cores = (os.cpu_count() or 1) + 1
    try:
        with starting_on_loopback():
            ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="warning")
    except Exception as error:  # a node that does not start in time is a plain Exception
        raise RayFailedError(
            f"ray: it did not start on this machine: {first_line(error)} The machine may be busy: run the same command "
            "again; RAY_TMPDIR/session_latest/logs says more"
        ) from error


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """Provide a running Ray: the caller's, the cluster at `address` or RAY_ADDRESS, or one that ends here.

    Raises:
        ConfigError: There is no cluster at the address.
        RayFailedError: A Ray on this machine did not start.
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
