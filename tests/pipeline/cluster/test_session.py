"""A Ray of a job's own: only this machine can reach it, and one that does not start is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from pipeline.cluster import session
from pipeline.common.errors import RayFailedError
from tests.sockets import listening

ROOT = Path(__file__).parents[3]
JOB = """
import sys
from pipeline.cluster.session import ray_session
with ray_session():
    import ray
    print(ray.get(ray.remote(lambda: "a worker has started").remote()), flush=True)
    sys.stdin.readline()
"""


def test_it_listens_on_the_loopback_address_only() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(ROOT)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", JOB], env=environment, **pipes) as job:  # type: ignore[call-overload]
        try:
            assert job.stdout.readline() == "a worker has started\n"
            sockets = listening(job.pid)
        finally:
            job.communicate("\n")
    assert job.returncode == 0
    assert len(sockets) >= 4, "of the driver, the raylet, the control store and a worker"
    assert [socket for socket in sockets if not socket.is_loopback] == []


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[object] = []

    def init(**options: object) -> None:
        starts.append(options)
        raise Exception("The current node timed out during startup. This could happen because ...\nmore")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", list)  # that of the other tests goes on
    with pytest.raises(RayFailedError) as caught:
        session.start_local()
    assert str(caught.value).startswith("ray: it did not start on this machine: The current node timed out")
    assert "\n" not in str(caught.value)
    assert len(starts) == session.START_ATTEMPTS


def test_a_ray_that_starts_the_second_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    failures = [Exception("The current node timed out during startup.")]

    def init(**options: object) -> None:
        del options
        if failures:
            raise failures.pop()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", list)  # that of the other tests goes on
    session.start_local()
    (record,) = caplog.records
    assert record.getMessage().endswith("The current node timed out during startup; trying again")
