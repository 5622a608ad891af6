"""The process of a command: signals end it whatever it is doing, and it ends at once when the command is done."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable

from jobs.console.command import INTERRUPTED_TEXT, end_with, end_with_error
from jobs.console.exit_codes import BAD_CONFIG, DONE, FAILED, INTERRUPTED
from jobs.console.text import visible
from pipeline.common.redaction import redacted_text
from pipeline.common.worker_settings import COLLECT_AFTER

RESEND_SECONDS = 0.05  # after which a dropped signal is sent again
SIGNALS = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}  # Ray answers SIGTERM with SystemExit


def run_process(command: Callable[[], object], as_json: bool = False) -> None:
    """Run a command and end the process with its exit code.

    The process ends without taking the interpreter down object by object, which takes more than a second once torch and
    Ray are imported.

    Args:
        command: What to run; an integer that it returns is the exit code.
        as_json: Print a line of JSON for an exception, see `jobs.console.command`.
    """
    gc.set_threshold(COLLECT_AFTER)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers ask so; it is Ctrl-C without a keyboard
    sys.unraisablehook = _send_again
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows only ASCII must not end the job
            stream.reconfigure(errors="backslashreplace")
    code = exit_code(command, as_json)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """Print a library's warning on one line: it may quote what stands in the data; a `warnings.showwarning`."""
    del where, more
    text = " ".join(f"{category.__name__}: {message}".split())
    print(visible(redacted_text(text)), file=sys.stderr)


def exit_code(command: Callable[[], object], as_json: bool = False) -> int:
    """Run a command; report an exception in one line.

    Returns:
        The exit code.
    """
    try:
        result = command()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(visible(redacted_text(end.code)), file=sys.stderr)
            return FAILED.code
        return end.code or DONE.code
    except KeyboardInterrupt:
        return end_with(INTERRUPTED, INTERRUPTED_TEXT, as_json)
    except Exception as error:
        if type(error).__name__ == "Abort":  # typer's, for an interrupt
            return end_with(INTERRUPTED, INTERRUPTED_TEXT, as_json)
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed
            return BAD_CONFIG.code
        if hasattr(error, "format_message"):  # typer's or click's, for a wrong command line
            return end_with(BAD_CONFIG, _usage(error), as_json)
        return end_with_error(error, as_json)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust
            raise
        return end_with_error(RuntimeError(f"a library broke off: {error}"), as_json)
    return result if isinstance(result, int) else DONE.code


def _usage(error: Exception) -> str:
    """Return in one line what is wrong with the command line, and where to read more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "vilt"
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    return f"{command}: {message.rstrip('.')}; see `{command} --help`"


def _send_again(dropped: sys.UnraisableHookArgs) -> None:
    """Send a signal again if Python dropped its exception; a `sys.unraisablehook`.

    Python drops exceptions in `__del__` and in the callbacks of weak references, of which every import runs one. The
    job would continue as if nobody had asked it to stop, and exit with 0.
    """
    if dropped.exc_type not in SIGNALS:
        sys.__unraisablehook__(dropped)
        return
    # To the main thread, as that wakes it if it waits; later, since here it would be dropped again.
    main = threading.main_thread().ident
    again = threading.Timer(RESEND_SECONDS, signal.pthread_kill, (main, SIGNALS[dropped.exc_type]))
    again.daemon = True
    again.start()
