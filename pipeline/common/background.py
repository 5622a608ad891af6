"""Two things at once at the start of a job: Ray's own processes start while this one reads, draws or imports."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A call in a thread of its own, for which nobody waits if an interrupt ends the job."""

    def __init__(self, call: Callable[[], T]) -> None:
        """Begin the call."""
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # raised again in the thread that asks
            self._error = error

    def result(self) -> T:
        """Wait for the call; return its value, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value


@contextmanager
def meanwhile(call: Callable[[], object]) -> Iterator[None]:
    """Make a call in a thread of its own while the context is open; at its end, wait, and raise what the call raised.

    The context itself is for what needs the main thread, as the start of Ray does, which sets signal handlers.
    """
    background = Background(call)
    yield
    background.result()


@contextmanager
def imported_meanwhile(module: str, delay: float = 4.0) -> Iterator[None]:
    """Import a module, which is needed later, in a thread of its own, if the context is open for `delay` seconds.

    The delay leaves the first seconds of a job, in which all processes import, to what is needed first.
    """

    def import_it() -> None:
        with suppress(Exception):  # raised again by who needs it
            importlib.import_module(module)

    timer = threading.Timer(delay, import_it)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
