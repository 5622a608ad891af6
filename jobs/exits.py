"""How a command ends: its text on stdout and 0, or one line on stderr and the exit code that schedulers read."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline import ConfigError
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


def ended(job: Callable[[], str]) -> int:
    """Do a job and print what it says; the exit code."""
    try:
        print(job())
    except tuple(EXIT_CODES) as error:
        print(error, file=sys.stderr)
        return EXIT_CODES[type(error)]
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED
    return 0
