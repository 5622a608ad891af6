"""How a command ends: its text on stdout and 0, or one line on stderr and the exit code that schedulers read."""

from __future__ import annotations

import logging
from collections.abc import Callable

from jobs.log import Log, log_to_stderr
from pipeline import ConfigError
from pipeline.events import tell
from pipeline.lock import BusyError
from pipeline.monitor import TooManyErrorsError
from pipeline.progress import RowsLostError
from pipeline.run import StorageFailedError

BAD_CONFIG, INTERRUPTED = 2, 130
EXIT_CODES: dict[type[Exception], int] = {
    RowsLostError: 1,
    StorageFailedError: 1,
    ConfigError: BAD_CONFIG,
    TooManyErrorsError: 3,
    BusyError: 4,
}


def ended(job: Callable[[], str], log: Log = "text") -> int:
    """Do a job and print what it says; the exit code. log: how its events go to stderr."""
    with log_to_stderr(log):
        try:
            print(job())
        except tuple(EXIT_CODES) as error:
            return _failed(str(error), EXIT_CODES[type(error)])
        except KeyboardInterrupt:
            return _failed("stopped; the same command goes on where it was", INTERRUPTED)
    return 0


def _failed(line: str, code: int) -> int:
    tell("failed", line, logging.ERROR, exit_code=code)
    return code
