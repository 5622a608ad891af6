"""How a command ends: its text on stdout and 0, or one line on stderr and the exit code that schedulers read."""

from __future__ import annotations

import json
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
STATUS = {1: "failed", BAD_CONFIG: "bad_config", 3: "too_many_errors", 4: "busy", INTERRUPTED: "interrupted"}


def ended(job: Callable[[], str], as_json: bool = False) -> int:
    """Do a job and print what it says; the exit code. as_json: what ends it early is told on stdout as well."""
    try:
        print(job())
    except tuple(EXIT_CODES) as error:
        return _early(EXIT_CODES[type(error)], str(error), as_json)
    except KeyboardInterrupt:
        return _early(INTERRUPTED, "stopped; the same command goes on where it was", as_json)
    return 0


def _early(code: int, line: str, as_json: bool) -> int:
    print(line, file=sys.stderr)
    if as_json:
        print(json.dumps({"status": STATUS[code], "exit_code": code, "error": line}))
    return code
