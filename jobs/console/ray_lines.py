"""A process that passes on what others write to stderr, without Ray's lines of no use; these too if the command fails.

A process of its own, since the one that runs the command may end in the middle of it: Ray ends it without a word to
Python when a node is lost, and its reason would be lost with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jobs.console.noise import is_noise, without_colors
from pipeline.common.visible_text import visible

ROOT = Path(__file__).parents[2]
MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from jobs.console.ray_lines import main; main()"
WELL = "\0the command has ended well"  # the last line that the process is sent
FAILED = "\0the command has failed"
MOST_SHOWN = 20  # hidden lines of a command that fails
END_SECONDS = 5


class Ending:
    """How a command ends; badly until it is said otherwise, since nobody may live to say it."""

    failed = True


@contextmanager
def filtered_stderr() -> Iterator[Ending]:
    """Pass descriptor 2 of this process and its children through a process that filters it, while this is open.

    Yields:
        Where the caller says how the command ends; with an exception it ends as it says.
    """
    sys.stderr.flush()
    real, ending = os.dup(2), Ending()
    try:
        reader = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", MAIN, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=real,
            start_new_session=True,  # Ctrl-C is for the command
        )
    except OSError:  # no more processes: nothing is hidden then
        os.close(real)
        yield ending
        return
    assert reader.stdin
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    try:
        yield ending
    finally:
        sys.stderr.flush()
        with suppress(OSError):  # somebody has ended the reader
            os.write(2, f"{FAILED if ending.failed else WELL}\n".encode())
        os.dup2(real, 2)
        os.close(real)
        with suppress(subprocess.TimeoutExpired):  # it ends by itself
            reader.wait(END_SECONDS)


def pass_on(lines: Iterable[str], out: IO[str]) -> None:
    """Write lines that are not noise; the last of the others at the end, but for a command that has ended well.

    Args:
        lines: Lines, the last of which may be `WELL` or `FAILED`.
        out: Where they go.
    """
    hidden: deque[str] = deque(maxlen=MOST_SHOWN)
    ended_well = False
    for line in lines:
        text, mark, _ = line.rstrip("\n").partition("\0the command has ")
        text = without_colors(text).replace("\t", " ").rstrip()
        if not is_noise(text):
            print(visible(text), file=out, flush=True)
        elif text:
            hidden.append(text)
        if mark:
            ended_well = line.rstrip("\n").endswith(WELL)
            break
    if hidden and not ended_well:
        print("the last lines of Ray:", file=out)
        for text in hidden:
            print(visible(text), file=out)
    out.flush()


def main() -> None:
    """Filter stdin to stderr."""
    with (
        open(0, encoding="utf-8", errors="replace") as lines,
        open(2, "w", encoding="utf-8", errors="backslashreplace") as out,
    ):
        try:
            pass_on(lines, out)
        except BrokenPipeError:
            os._exit(0)
