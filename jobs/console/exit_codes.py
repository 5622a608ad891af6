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
        cause: When the command ends in this way.
        action: What to do next.
        errors: The exceptions that end a command in this way.
    """

    code: int
    status: str
    cause: str
    action: str
    errors: tuple[type[BaseException], ...] = ()


DONE = ExitCode(0, "done", "Done, or nothing to do (status `nothing_to_do`)", "Nothing. The results are in place.")
FAILED = ExitCode(
    1,
    "failed",
    "The storage or Ray failed, rows are missing, or an unexpected error, whose traceback is in the log file that the "
    "line names",
    "Run the same command again. Finished files are kept, so it resumes where it stopped.",
    (StorageFailedError, RayFailedError, RowsLostError),
)
BAD_CONFIG = ExitCode(
    2,
    "bad_config",
    "The command line, the config or what it points to is wrong; nothing was done",
    "Correct it. The line on stderr names the key, the value, and what would be right.",
    (ConfigError,),
)
TOO_MANY_ERRORS = ExitCode(
    3,
    "too_many_errors",
    "More rows are rejected than `max_error_rate` allows",
    "Look at the reasons. Finished files are kept: raise `max_error_rate`, or repair the table and run again.",
    (TooManyErrorsError,),
)
BUSY = ExitCode(
    4,
    "busy",
    "Another run is at work on the output",
    "Wait. Another run holds the lock of the output, and this one has changed nothing.",
    (BusyError,),
)
INTERRUPTED = ExitCode(
    130,
    "interrupted",
    "Stopped by Ctrl-C or SIGTERM, as schedulers send it",
    "Run the same command again if you want the job finished. It resumes where it stopped.",
    (KeyboardInterrupt,),
)
BROKEN_PIPE = ExitCode(
    141,
    "broken_pipe",
    "The program that reads stdout, such as `head`, ended first",
    "Nothing. The results of a job are in place.",
)

EXIT_CODES = (DONE, FAILED, BAD_CONFIG, TOO_MANY_ERRORS, BUSY, INTERRUPTED, BROKEN_PIPE)


def exit_code_of(error: BaseException) -> ExitCode | None:
    """Return how an exception ends a command; None for one that no command is expected to raise."""
    return next((one for one in EXIT_CODES if isinstance(error, one.errors)), None)
