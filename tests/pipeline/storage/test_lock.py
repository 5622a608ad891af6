"""One run at a time: the second is told who is at work; a dead run's lock is taken over."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.common.errors import BusyError
from pipeline.storage import lock
from pipeline.storage.lock import RunLock


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lock, "DEAD_SECONDS", 1.0)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, str]:
    """A filesystem and the path of a lock on it."""
    if request.param == "local":
        return fsspec.filesystem("file"), f"{tmp_path}/out/lock.json"
    request.getfixturevalue("s3_server")
    filesystem = fsspec.filesystem("s3")
    filesystem.makedirs("locks", exist_ok=True)
    return filesystem, f"locks/{uuid.uuid4().hex}/lock.json"


def left_by(place: tuple[Any, str], **changes: object) -> None:
    """A lock as a run leaves it that was killed."""
    filesystem, path = place
    with RunLock(filesystem, path):
        content = json.loads(filesystem.cat_file(path))
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, json.dumps({**content, **changes}).encode())


def test_the_second_run_is_told_who_is_at_work(place: tuple[Any, str]) -> None:
    filesystem, path = place
    with RunLock(filesystem, path) as first:
        with pytest.raises(BusyError, match=r"a run on .+ \(process \d+, since .+\) is at work"), RunLock(*place):
            pass
        first.check()
    filesystem.invalidate_cache()
    assert not filesystem.exists(path)
    with RunLock(filesystem, path):
        pass


def test_a_killed_process_is_known_at_once(place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "DEAD_SECONDS", 1000.0)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for changes in ({"pid": dead.pid}, {"started": "1"}):  # gone, or another process has its number now
        left_by(place, **changes)
        with RunLock(*place) as mine:
            mine.check()


def test_elsewhere_a_heartbeat_that_stands_still_is_a_dead_run(place: tuple[Any, str]) -> None:
    left_by(place, host="elsewhere")
    with RunLock(*place) as mine:
        mine.check()


def test_elsewhere_a_heartbeat_is_a_run_at_work(place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with RunLock(*place):
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(BusyError, match="at work"), RunLock(*place):
            pass


def test_the_lock_can_be_read_at_any_moment(place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.001)
    with RunLock(*place) as mine:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            mine.check()


def test_a_run_that_lost_its_lock_learns_of_it(place: tuple[Any, str]) -> None:
    filesystem, path = place
    with RunLock(filesystem, path) as slow:
        content = json.loads(filesystem.cat_file(path))
        filesystem.pipe_file(path, json.dumps({**content, "token": "other"}).encode())
        with pytest.raises(BusyError, match="has taken over"):
            slow.check()
    assert filesystem.exists(path), "it is not the slow run's to remove"
