"""Call a function in a process that ends: what libraries need to read the log of a very large table ends with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

from pipeline.common.errors import ConfigError

CHILD = "from pipeline.tables.formats.logged.apart import answer; answer()"
Result = TypeVar("Result")


def run_apart(function: Callable[..., Result], *arguments: object, subject: str) -> Result:
    """Return what a function returns in a process of its own.

    Args:
        function: A function of a module.
        *arguments: Its arguments, secrets too: no other process sees them.
        subject: What it reads, for the message if the process is killed.

    Raises:
        ConfigError: The function raised it, or the process was killed.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert child.stdin
    assert child.stdout
    with child:
        try:
            pickle.dump((function, arguments), child.stdin)
            child.stdin.close()
            found = pickle.load(child.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = child.wait()
            why = f"ended with code {code}{', perhaps for want of memory' if code < 0 else ''}"
            raise ConfigError(f"input.path: cannot read {subject}: the process that reads its log {why}") from None
    if isinstance(found, ConfigError):
        raise found
    result: Result = found
    return result


def answer() -> None:
    """Call the function that stdin names, and write its result to stdout; what libraries print goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        function, arguments = pickle.load(sys.stdin.buffer)
        try:
            found = function(*arguments)
        except ConfigError as error:
            found = error
        pickle.dump(found, out, protocol=5)
