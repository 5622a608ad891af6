"""The exit codes of `vilt`, which schedulers read: one table, from which the documents are made."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.common.errors import (
    BusyError,
    ConfigError,
    RayFailedError,
    RowsLostError,
    StorageFailedError,
    TooManyErrorsError,
)


@dataclass(frozen=True)
class ExitCode:
    """One way in which a command ends.

    Attributes:
        code: What the process exits with.
        status: The value of `status` in the line that `--json` prints.
        meaning: When the command ends in this way, and what to do next; for the documents.
        errors: The exceptions that end a command in this way.
    """

    code: int
    status: str
    meaning: str
    errors: tuple[type[BaseException], ...] = ()


DONE = ExitCode(0, "done", "done, or nothing to do (`nothing_to_do`)")
FAILED = ExitCode(
    1,
    "failed",
    "the storage or Ray failed, rows are missing, or an unexpected error, whose traceback is in the log file that is "
    "named: run the same command again, finished parts are kept",
    (StorageFailedError, RayFailedError, RowsLostError),
)
BAD_CONFIG = ExitCode(
    2, "bad_config", "the command line, the config or what it points to is wrong; nothing was done", (ConfigError,)
)
TOO_MANY_ERRORS = ExitCode(
    3,
    "too_many_errors",
    "more rows are rejected than `max_error_rate` allows; finished parts are kept",
    (TooManyErrorsError,),
)
BUSY = ExitCode(4, "busy", "another run is at work on the output", (BusyError,))
INTERRUPTED = ExitCode(
    130, "interrupted", "stopped by Ctrl-C: run the same command again to resume", (KeyboardInterrupt,)
)
BROKEN_PIPE = ExitCode(141, "broken_pipe", "the program that reads stdout, such as `head`, ended first")

EXIT_CODES = (DONE, FAILED, BAD_CONFIG, TOO_MANY_ERRORS, BUSY, INTERRUPTED, BROKEN_PIPE)


def exit_code_of(error: BaseException) -> ExitCode | None:
    """Return how an exception ends a command; None for one that no command is expected to raise."""
    return next((one for one in EXIT_CODES if isinstance(error, one.errors)), None)
