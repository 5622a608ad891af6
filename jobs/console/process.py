"""The process of a command: it ends when it is told to, whatever it is at, and at once when it is done."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable

AGAIN_AFTER = 0.05  # seconds
AGAIN = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}  # the latter as Ray answers it


def run_process(command: Callable[[], object]) -> None:
    """Run a command and end the process with the code that it exits with.

    What Python would take apart, object by object, is more than a second's work where torch and Ray were imported: the
    process ends without.
    """
    sys.unraisablehook = _send_again
    code = 0
    try:
        command()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = end.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """A `sys.unraisablehook`: a signal that came where Python drops exceptions comes again.

    Such places are `__del__` and the callbacks of weak references, of which every import runs one: the job would go on
    as if nobody had asked it to stop, and exit with 0.
    """
    if lost.exc_type not in AGAIN:
        sys.__unraisablehook__(lost)
        return
    # To the main thread, as that wakes it where it waits; later, for here it would be dropped, too.
    main = threading.main_thread().ident
    again = threading.Timer(AGAIN_AFTER, signal.pthread_kill, (main, AGAIN[lost.exc_type]))
    again.daemon = True
    again.start()
