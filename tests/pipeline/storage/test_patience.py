"""A storage that fails for a while is asked again; one that says no is not."""

import errno
import time
from collections.abc import Iterator

import pytest

from pipeline.storage import filesystem as storage
from pipeline.storage.filesystem import patiently


class Clock:
    """Time passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_it_goes_on_where_it_was(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    failures = {0: 2, 3: 1}  # before which value, how often

    def read() -> Iterator[int]:
        for value in range(5):
            if failures.get(value, 0):
                failures[value] -= 1
                raise ConnectionResetError(errno.ECONNRESET, "reset")
            yield value

    assert list(patiently(read, "x")) == [0, 1, 2, 3, 4]
    assert clock.pauses == [1, 2, 1], "the pause grows until a value comes"
    assert [record.getMessage() for record in caplog.records] == [
        f"x: ConnectionResetError: trying again in {seconds} s" for seconds in (1, 2, 1)
    ]


def test_it_gives_up(clock: Clock) -> None:
    def read() -> Iterator[int]:
        yield 0
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    values = patiently(read, "x")
    assert next(values) == 0
    with pytest.raises(ConnectionRefusedError):
        next(values)
    assert storage.RETRY_SECONDS - 15 <= clock.now <= storage.RETRY_SECONDS


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "no"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Couldn't deserialize thrift"),
        ValueError("not of the storage"),
    ],
)
def test_what_lasts_is_told_at_once(clock: Clock, error: Exception) -> None:
    def read() -> Iterator[int]:
        yield 0
        raise error

    with pytest.raises(type(error)):
        list(patiently(read, "x"))
    assert not clock.pauses
