"""The process of a command: it ends at once when it is interrupted, and when it is done."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable

AGAIN_AFTER = 0.05  # seconds


def run_process(command: Callable[[], object]) -> None:
    """Run a command and end the process with the code that it exits with.

    What Python would take apart, object by object, is more than a second's work where torch and Ray were imported: the
    process ends without.
    """
    sys.unraisablehook = _interrupt_again
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


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """A `sys.unraisablehook`: an interrupt that came where Python drops exceptions comes again.

    Such places are `__del__` and the callbacks of weak references, of which every import runs one: the job would go on
    as if nobody had asked it to stop, and exit with 0.
    """
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    # A signal to the main thread, as it wakes one that waits; later, for here it would be dropped, too.
    again = threading.Timer(AGAIN_AFTER, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    again.daemon = True
    again.start()
