"""How a command ends: its text on stdout and 0, or one line on stderr and the exit code that schedulers read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from jobs.console.log import Log, log_to_stderr
from pipeline import ConfigError
from pipeline.common.errors import BusyError, RayFailedError, RowsLostError, StorageFailedError, TooManyErrorsError
from pipeline.monitoring.events import tell

BAD_CONFIG, INTERRUPTED = 2, 130
EXIT_CODES: dict[type[Exception], int] = {
    RowsLostError: 1,
    StorageFailedError: 1,
    RayFailedError: 1,
    ConfigError: BAD_CONFIG,
    TooManyErrorsError: 3,
    BusyError: 4,
}
STATUS = {1: "failed", BAD_CONFIG: "bad_config", 3: "too_many_errors", 4: "busy", INTERRUPTED: "interrupted"}


def ended(job: Callable[[], str], log: Log = "text", as_json: bool = False) -> int:
    """Do a job and print what it says; the exit code.

    log: how its events go to stderr. as_json: what ends it early is a line of JSON on stdout as well.
    """
    with log_to_stderr(log):
        try:
            print(job())
        except tuple(EXIT_CODES) as error:
            return _failed(str(error), EXIT_CODES[type(error)], as_json)
        except KeyboardInterrupt:
            return _failed("stopped; the same command goes on where it was", INTERRUPTED, as_json)
    return 0


def _failed(line: str, code: int, as_json: bool) -> int:
    tell("failed", line, logging.ERROR, exit_code=code)
    if as_json:
        print(json.dumps({"status": STATUS[code], "exit_code": code, "error": line}))
    return code
