"""A storage on which the process ends before a step of its choice, for tests of what the next run makes of that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.results.output_folder import OutputFolder
from pipeline.storage.lock import RunLock


class Killed(BaseException):
    """The process ends here, without a word."""


class Storage(LocalFileSystem):
    """A local filesystem on which the process is killed before the step `kill_at`, 0 for never. The dead do nothing."""

    cachable = False

    def __init__(self, kill_at: int = 0) -> None:
        super().__init__()
        self.kill_at, self.steps = kill_at, 0

    def step(self) -> None:
        self.steps += 1
        if self.kill_at and self.steps >= self.kill_at:
            raise Killed

    def pipe_file(self, *args: Any, **kwargs: Any) -> None:
        self.step()
        super().pipe_file(*args, **kwargs)

    def mv(self, *args: Any, **kwargs: Any) -> None:
        self.step()
        super().mv(*args, **kwargs)

    def rm_file(self, *args: Any) -> None:
        self.step()
        super().rm_file(*args)


@contextmanager
def entered(folder: OutputFolder) -> Iterator[None]:
    """Hold an output folder; a killed process leaves it without a word."""
    folder.__enter__()
    try:
        yield
    except Exception:
        folder.__exit__()
        raise
    folder.__exit__()


class Hurried:
    """The module `time` where nobody needs to be waited for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """At once."""


@pytest.fixture(autouse=True)
def the_dead_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed runs of these tests are of this very process."""
    monkeypatch.setattr(RunLock, "_is_dead", lambda *_: True)
    monkeypatch.setattr("pipeline.storage.lock.time", Hurried())
    monkeypatch.setattr(RunLock, "_beat_until_stopped", lambda *_: None)
