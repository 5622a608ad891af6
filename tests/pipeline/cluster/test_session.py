"""A Ray of a job's own: only this machine can reach it, and one that does not start is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.cluster import session
from pipeline.common.errors import RayFailedError
from tests.sockets import Listening, listening

ROOT = Path(__file__).parents[3]


def test_a_job_listens_on_the_loopback_address_only(
    tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_ADDRESS")}
    environment["PYTHONPATH"] = str(ROOT)
    words = [f"input.path={write_table(scene_rows(4))}", "input.text=caption", f"output.path={tmp_path / 'out'}"]
    (tmp_path / "job.yaml").write_text("input: {}\nmodel: zoo://scenes\noutput: {report: false}\n")
    command = [sys.executable, "-m", "jobs.cli", "score", str(tmp_path / "job.yaml"), *words]
    seen: set[Listening] = set()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        while job.poll() is None:
            now = listening(job.pid)
            seen.update(now)
            time.sleep(0.2)
        assert job.returncode == 0, job.stdout and job.stdout.read()
    programs = " ".join(one.command for one in seen)
    assert "raylet" in programs
    assert len(seen) >= 4, "of the driver, the raylet, the control store and workers"
    assert [one for one in seen if not one.is_loopback] == []
    assert "dashboard.py" not in programs


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[object] = []

    def init(**options: object) -> None:
        starts.append(options)
        raise Exception("The current node timed out during startup. This could happen because ...\nmore")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", list)  # that of the other tests goes on
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    with pytest.raises(RayFailedError) as caught:
        session.start_local()
    assert str(caught.value).startswith("ray: it did not start on this machine: The current node timed out")
    assert str(caught.value).endswith(" Ray's own logs are in /scratch/ray/session_latest/logs")
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
    monkeypatch.setattr("pipeline.cluster.session._Started.address", None)  # and its address comes back
    session.start_local()
    (record,) = caplog.records
    assert record.getMessage().endswith("The current node timed out during startup; trying again")
