"""One run at a time on an output: a lock file with a heartbeat, on any storage that fsspec opens.

A run that was killed leaves its lock behind. That it is dead is known by its process if it ran on this machine,
elsewhere by a heartbeat that stands still.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from pipeline.common.errors import BusyError
from pipeline.storage.filesystem import make_folder, storage_errors, write_once
from vilt.common.json_text import read_json

BEAT_SECONDS = 5.0  # between heartbeats
DEAD_SECONDS = 4 * BEAT_SECONDS  # without a heartbeat for so long, a run elsewhere is dead
SETTLE_SECONDS = 0.5  # after which the later of two that take over a dead run's lock has won


class RunLock:
    """A context manager that holds the lock file at `path`.

    Raises:
        BusyError: On entering: another run holds it.
    """

    def __init__(self, filesystem: AbstractFileSystem, path: str) -> None:
        self.filesystem, self.path, self.token = filesystem, path, uuid.uuid4().hex
        self._stopped, self._beat_failed = threading.Event(), False
        self._since = time.strftime("%Y-%m-%dT%H:%M:%S%z")

    def __enter__(self) -> RunLock:
        self._acquire()
        self._thread = threading.Thread(target=self._beat_until_stopped, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(DEAD_SECONDS)
        in_trouble = self._beat_failed or self._thread.is_alive()
        for _ in range(5):  # a heartbeat that a storage in trouble has taken late can bring the file back
            try:
                if self._holder().get("token") != self.token:
                    return
                self.filesystem.rm_file(self.path)
                if not in_trouble:
                    return
            except storage_errors():
                pass
            time.sleep(0.2)

    def check(self) -> None:
        """Check that this run still holds the lock.

        Raises:
            BusyError: Another run has taken it over, because this one seemed dead.
        """
        holder = self._holder()
        if holder.get("token") != self.token:
            raise BusyError(f"{self.path}: {_describe(holder)} has taken over the job while this run stood still")

    def _acquire(self) -> None:
        make_folder(self.filesystem, self.path.rpartition("/")[0])
        if self._create():
            return
        holder = self._holder()
        if holder and not self._is_dead(holder):
            raise BusyError(f"{self.path}: {_describe(holder)} is at work on this output; wait until it has ended")
        self._write(0)
        time.sleep(SETTLE_SECONDS)
        self.check()

    def _create(self) -> bool:
        """Write the file if there is none; return whether it was written."""
        try:
            self.filesystem.pipe_file(self.path, self._content(0), mode="create")
        except FileExistsError:
            return False
        except OSError as error:  # what s3fs makes of a refused conditional write depends on the store
            if error.errno == errno.EINVAL and self._holder():
                return False
            raise
        return True

    def _is_dead(self, holder: dict[str, Any]) -> bool:
        if (holder["host"], holder["space"]) == (socket.gethostname(), _process_space()):
            started = _started(holder["pid"])
            if started != "":
                return bool(started != holder["started"])
        last, end = holder, time.monotonic() + DEAD_SECONDS
        while time.monotonic() < end:
            time.sleep(BEAT_SECONDS / 10)
            holder = self._holder()
            if not holder:
                return True
            if (holder["token"], holder["beat"]) != (last["token"], last["beat"]):
                return False
        return True

    def _holder(self) -> dict[str, Any]:
        """Return what the lock file says; nothing if there is none, or only an empty one that nobody fills."""
        for _ in range(10):
            self.filesystem.invalidate_cache()
            try:
                content: dict[str, Any] = read_json(self.filesystem.cat_file(self.path))
                return content
            except FileNotFoundError:
                return {}
            except json.JSONDecodeError:  # a local file that was made and is not yet written
                time.sleep(0.1)
        return {}

    def _content(self, beat: int) -> bytes:
        """Return the text of the lock file: who holds it, and how often the heart has beaten."""
        where = {"host": socket.gethostname(), "space": _process_space(), "pid": os.getpid()}
        when = {"started": _started(os.getpid()), "since": self._since}
        return json.dumps({"token": self.token, "beat": beat, **where, **when}).encode()

    def _write(self, beat: int) -> None:
        write_once(self.filesystem, self.path, self._content(beat))

    def _beat_until_stopped(self) -> None:
        beat = 0
        while not self._stopped.wait(BEAT_SECONDS):
            beat += 1
            try:
                if self._holder().get("token") != self.token:
                    return
                if not self._stopped.is_set():
                    self._write(beat)
            except storage_errors():  # `check` decides in the end
                self._beat_failed = True


def _describe(holder: dict[str, Any]) -> str:
    return f"a run on {holder.get('host')} (process {holder.get('pid')}, since {holder.get('since')})"


def _process_space() -> str:
    """Return which set of process numbers this process sees: containers on one machine have one each."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process of this machine started, in the kernel's ticks.

    Returns:
        None if there is no such process; "" if the system does not tell.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] == "Z" else fields[19]  # a zombie is dead
