"""How the process of a command ends."""

import subprocess
import sys

import pytest

# What Python drops: an exception in the callback of a weak reference, as importlib has one for every module.
DROPPED = """
import os, signal, sys, time, weakref
from jobs.console.process import run_process

class Anything:
    pass

def when_it_goes(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(3):
        pass

def command():
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as Ray does
    anything = Anything()
    seen = weakref.ref(anything, when_it_goes)
    try:
        del anything
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)

run_process(command)
"""


def ended(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 15)])
def test_a_signal_where_python_drops_it_ends_the_command(name: str, code: int) -> None:
    done = ended(DROPPED.replace("SIGINT", name))
    assert (done.returncode, done.stderr) == (code, "")


def test_what_else_python_drops_is_told_as_ever() -> None:
    done = ended(DROPPED.replace("os.kill(os.getpid(), signal.SIGINT)", "1 / 0").replace("sleep(60)", "sleep(0)"))
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_exit_codes_and_last_words() -> None:
    for command, code, words in (
        ("lambda: print('all')", 0, "all\n"),
        ("lambda: sys.exit(3)", 3, ""),
        ("lambda: sys.exit('why')", 1, ""),
        ("lambda: 1 / 0", 1, ""),
    ):
        done = ended(f"import sys\nfrom jobs.console.process import run_process\nrun_process({command})")
        assert (done.returncode, done.stdout) == (code, words)
    done = ended(
        "import atexit\nfrom jobs.console.process import run_process\natexit.register(print, 'end')\nrun_process(int)"
    )
    assert done.stdout == "end\n"
