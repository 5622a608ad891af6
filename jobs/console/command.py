"""How a command runs and ends: its result on stdout and 0, or one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from jobs.console.exit_codes import BROKEN_PIPE, DONE, FAILED, INTERRUPTED, ExitCode, exit_code_of
from jobs.console.log import LOGGER, Log, log_to_stderr
from jobs.console.text import json_line, visible
from pipeline.common.redaction import redacted_text

if TYPE_CHECKING:
    from rich.console import RenderableType

NOTHING_TO_DO = "nothing_to_do"
LONGEST_TEXT = 300  # characters of the message of an unexpected error
INTERRUPTED_TEXT = "stopped; run the same command again to resume"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Attributes:
        text: For a person.
        values: For programs, which ask with `--json`: one object, or one for each line.
        status: The value of `status` in the JSON: "done" or "nothing_to_do".
    """

    text: RenderableType
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    status: str = DONE.status


def run_command(job: Callable[[], Outcome], log: Log = "text", as_json: bool = False) -> int:
    """Do a job and print its outcome.

    Every exception ends the command in one line on stderr, and with `as_json` also in one line of JSON on stdout.

    Args:
        job: What to do. It imports what it needs itself, so that even a broken installation ends in one line.
        log: How the events of the job go to stderr.
        as_json: Print the outcome as JSON.

    Returns:
        The exit code, see `jobs.console.exit_codes`.
    """
    with log_to_stderr(log):
        try:
            outcome = job()
        except KeyboardInterrupt:
            return end_with(INTERRUPTED, INTERRUPTED_TEXT, as_json)
        except Exception as error:
            return end_with_error(error, as_json)
    return _print(lambda: print_outcome(outcome, as_json))


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """Print an outcome to stdout."""
    if not as_json:
        from jobs.console.tables import print_result

        print_result(outcome.text)
    elif isinstance(outcome.values, Mapping):
        print(json_line({"status": outcome.status, "exit_code": DONE.code, **outcome.values}))
    else:
        for values in outcome.values:
            print(json_line(values))


def end_with_error(error: Exception, as_json: bool = False) -> int:
    """Report an exception that ends a command; the traceback of an unexpected one goes into a log file.

    Returns:
        The exit code.
    """
    known = exit_code_of(error)
    if known is not None:
        return end_with(known, str(error) or type(error).__name__, as_json)
    trace = redacted_text("".join(traceback.format_exception(error)))
    file = write_traceback(trace)
    text = redacted_text(str(error)).strip().partition("\n")[0][:LONGEST_TEXT]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    where = f"the traceback is in {file}" if file else "no log file could be written for the traceback"
    line = f"unexpected error, {what}; {where}; finished parts are kept: run the same command again"
    return end_with(FAILED, line, as_json, {"traceback": trace}, traceback_file=file)


def end_with(
    code: ExitCode, line: str, as_json: bool = False, event_fields: Mapping[str, Any] | None = None, **fields: Any
) -> int:
    """Report in one line on stderr, and with `as_json` in one of JSON on stdout, why a command ends.

    Args:
        code: How it ends.
        line: What is wrong, and what to do next.
        as_json: Whether the command was asked for JSON.
        event_fields: Fields of the event `failed` alone.
        fields: Fields of the event and of the JSON.

    Returns:
        The exit code.
    """
    line = redacted_text(line)
    if LOGGER.handlers:
        extra = {"event": "failed", "fields": {"exit_code": code.code, **fields, **(event_fields or {})}}
        LOGGER.error("%s", line, extra=extra)
    else:  # the log of a job is not open
        print(visible(line), file=sys.stderr)
    if as_json:
        values = {"status": code.status, "exit_code": code.code, "error": line, **fields}
        _print(lambda: print(json_line(values)))
    return code.code


def write_traceback(trace: str) -> str | None:
    """Write a traceback, and what Ray wrote before it, into a new file that only this user can read.

    Returns:
        The path of the file; None if none can be written.
    """
    hidden = sys.modules.get("jobs.console.live")  # imported only if a live line was shown
    lines = [f"{datetime.now(timezone.utc).isoformat(timespec='seconds')}\n", trace]
    if hidden is not None:
        lines += ["\nThe last lines of Ray that were not shown:\n", *(f"{line}\n" for line in hidden.hidden_lines)]
    try:
        descriptor, path = tempfile.mkstemp(prefix="vilt-error-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(lines)
    except OSError:
        return None
    return path


def _print(print_all: Callable[[], None]) -> int:
    """Print; return the exit code, which tells whether the program that reads stdout is still there."""
    try:
        print_all()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end of the process would fail, too
        return BROKEN_PIPE.code
    return DONE.code
