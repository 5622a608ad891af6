"""What a job writes to stderr off a terminal, as into a mail of cron: our lines, and Ray's if something goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOISE = "[2026-11-26 01:25:14,490 E 1 2] core_worker.cc:2465: Actor has constructor arguments"
SCRIPT = f"""
import logging, os, subprocess, sys
from jobs.console.command import Outcome, run_command
from jobs.console.tables import lines
from pipeline.common.errors import ConfigError, RayFailedError

def job():
    os.write(2, {NOISE!r}.encode() + b"\\n")
    subprocess.run(["sh", "-c", "echo '\\033[31ma warning of a library\\033[0m\\033]0;title\\007' >&2"], check=True)
    logging.getLogger("pipeline").warning("a file is odd")
    {{
        "done": lambda: None,
        "lost": lambda: os._exit(1),
        "ray": lambda: (_ for _ in ()).throw(RayFailedError("ray: it did not start")),
        "config": lambda: (_ for _ in ()).throw(ConfigError("model: missing")),
    }}[sys.argv[1]]()
    return Outcome(lines("rows in     40"), {{}})

sys.exit(run_command(job, sys.argv[2]))
"""


def ended(how: str, log: str = "text") -> tuple[int, list[str]]:
    """Run the script; return its exit code and its lines on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how, log],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        timeout=100,
    )
    return done.returncode, sorted(done.stderr.splitlines())


OURS = [r"a file is odd", r"a warning of a library\x1b]0;title\x07"]


@pytest.mark.parametrize(
    ("how", "code", "error", "with_noise"),
    [
        ("done", 0, [], False),
        ("config", 2, ["model: missing"], False),
        ("ray", 1, ["ray: it did not start"], True),
        ("lost", 1, [], True),
    ],
)
def test_noise_is_hidden_until_something_goes_wrong(how: str, code: int, error: list[str], with_noise: bool) -> None:
    shown = [NOISE, "the last lines of Ray:"] if with_noise else []
    assert ended(how) == (code, sorted([*OURS, *error, *shown]))


def test_verbose_hides_nothing() -> None:
    code, lines = ended("done", "verbose")
    assert code == 0
    assert NOISE in lines
