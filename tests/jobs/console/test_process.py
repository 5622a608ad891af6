"""How the process of a command ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 15)])
def test_a_signal_where_python_drops_it_ends_the_command(name: str, code: int) -> None:
    done = ended(DROPPED.replace("SIGINT", name))
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_that_is_asked_to_stop_says_how_to_go_on(name: str) -> None:
    code = "import os, signal, time\nfrom jobs.console.process import run_process\n"
    done = ended(f"{code}run_process(lambda: (os.kill(os.getpid(), signal.{name}), time.sleep(60)))")
    assert (done.returncode, done.stderr) == (130, "stopped; run the same command again to resume\n")


def test_what_else_python_drops_is_told_as_ever() -> None:
    done = ended(DROPPED.replace("os.kill(os.getpid(), signal.SIGINT)", "1 / 0").replace("sleep(60)", "sleep(0)"))
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_an_exception_is_one_line_and_with_json_one_line_of_json() -> None:
    done = ended("from jobs.console.process import run_process\nrun_process(lambda: 1 / 0, as_json=True)")
    assert done.returncode == 1
    values = json.loads(done.stdout)
    assert done.stderr == f"{values['error']}\n"
    assert values["error"].startswith("unexpected error, ZeroDivisionError: division by zero; the traceback is in ")
    Path(values["traceback_file"]).unlink()


def test_a_terminal_that_knows_only_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = "from jobs.console.process import run_process\nrun_process(lambda: print('Gr\\u00fc\\u00dfe'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "Gr\\xfc\\xdfe\n")


def test_exit_codes_and_last_words() -> None:
    for command, code, words in (
        ("lambda: print('all')", 0, "all\n"),
        ("lambda: sys.exit(3)", 3, ""),
        ("lambda: sys.exit('why')", 1, ""),
        ("lambda: 1 / 0", 1, ""),
        ("lambda: 4", 4, ""),
    ):
        done = ended(f"import sys\nfrom jobs.console.process import run_process\nrun_process({command})")
        assert (done.returncode, done.stdout) == (code, words)
    done = ended(
        "import atexit\nfrom jobs.console.process import run_process\natexit.register(print, 'end')\nrun_process(int)"
    )
    assert done.stdout == "end\n"
