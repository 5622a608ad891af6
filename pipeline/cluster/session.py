"""The Ray of a job: the caller's, a cluster, or one that is started on this machine and ends with the job."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray
from tenacity import RetryCallState, Retrying, stop_after_attempt

from pipeline.common.errors import ConfigError, RayFailedError, first_line
from pipeline.common.one_machine import without_dashboard_agent
from pipeline.common.ray_compat import keeping_sigterm, print_to_stderr, starting_locally

logger = logging.getLogger(__name__)
START_ATTEMPTS = 3  # Ray gives itself 30 s, which a busy machine may not do with
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
        with keeping_sigterm():
            ray.init(address=address, logging_level="warning")
        print_to_stderr()
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray.address: no Ray cluster at {address!r}: {first_line(error)}") from None


def start_local(cores: int | None = None) -> None:
    """Start a Ray on this machine that only this machine can reach; once more if it does not start in time.

    Args:
        cores: Cores that Ray may use; by default one more than there are: reading and decoding share them with the
            model.

    Raises:
        RayFailedError: It did not start.
    """
    cores = cores or (os.cpu_count() or 1) + 1
    for attempt in Retrying(stop=stop_after_attempt(START_ATTEMPTS), before_sleep=_warn, reraise=True):
        with attempt, starting_locally(), without_dashboard_agent():
            _Started.address = _init_local(cores)


def _init_local(cores: int) -> str:
    """Start a Ray and return its address, or raise RayFailedError, within the 30 s that Ray gives itself."""
    try:
        with keeping_sigterm():
            ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="warning")
        print_to_stderr()
        return str(ray.get_runtime_context().gcs_address)
    except Exception as error:  # a node that does not start in time is a plain Exception
        ray.shutdown()
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        raise RayFailedError(
            f"ray: it did not start on this machine: {first_line(error).rstrip('.')}; the machine may be busy: run the "
            f"same command again. Ray's own logs are in {folder.rstrip('/')}/ray/session_latest/logs"
        ) from error


def _warn(state: RetryCallState) -> None:
    assert state.outcome
    logger.warning("%s; trying again", str(state.outcome.exception()).partition(";")[0])


class _Started:
    """The Ray that this process has started last, by its address."""

    address: str | None = None


def is_local_ray() -> bool:
    """Return whether the running Ray is one that `start_local` started: one machine, one job at a time."""
    return ray.is_initialized() and ray.get_runtime_context().gcs_address == _Started.address


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
