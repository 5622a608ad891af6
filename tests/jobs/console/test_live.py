"""The live line, as a terminal shows it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from jobs.console.live import describe

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, subprocess, sys, time
from jobs.console.command import Outcome, run_command
from jobs.console.tables import lines
from pipeline.monitoring.events import emit
import logging

def job():
    emit("job_started", "score: 40 of 40 rows to do")
    subprocess.run(["sh", "-c", "echo '[2026-11-26 01:25:14,490 E 1 2] core_worker.cc:2465: noise' >&2"], check=True)
    subprocess.run(["sh", "-c", "echo 'a warning of a library' >&2"], check=True)
    emit("progress", "half", rows_done=20, rows=40, share=0.5, rate=2.0, unit="rows", seconds_left=10, limiting="model")
    logging.getLogger("pipeline").warning("file \\x1b]0;title\\x07 is odd")
    time.sleep(0.5)
    emit("job_finished", "done")
    if sys.argv[1] == "fail":
        raise KeyError("unknown")
    return Outcome(lines("rows in     40"), {})

sys.exit(run_command(job))
"""


def in_a_terminal(*words: str) -> tuple[int, str]:
    """Run the script with stderr and stdout in a terminal of its own; its exit code and what the terminal received."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *words], stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        received = b""
        while True:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            received += chunk
        os.close(terminal)
    return process.returncode, received.decode()


def test_one_live_line_without_noise() -> None:
    code, text = in_a_terminal("done")
    assert code == 0, text
    assert "20 of 40 rows, 2.0 rows/s, 10 s left, limited by model" in text
    assert "a warning of a library" in text
    assert "core_worker" not in text
    assert r"file \x1b]0;title\x07 is odd" in text
    assert "\x1b]0;" not in text
    assert text.rstrip().endswith("rows in     40")


def test_an_unexpected_error_is_one_line_and_a_log_file_with_what_was_hidden() -> None:
    code, text = in_a_terminal("fail")
    assert code == 1
    assert "Traceback" not in text
    flat = text.replace("\r\n", "")
    path = Path(flat.partition("the traceback is in ")[2].partition(";")[0])
    content = path.read_text()
    path.unlink()
    assert "KeyError: 'unknown'" in content
    assert "core_worker.cc:2465: noise" in content


def test_what_the_line_says() -> None:
    fields = {"rows_done": 1200, "rows": 4000, "rate": 12.34, "unit": "pairs", "seconds_left": 7300, "rejected": 3}
    assert describe(fields) == "1,200 of 4,000 rows, 12.3 pairs/s, 2.0 h left, 3 rejected"
    assert describe({"rows_done": 0, "rows": 5, "rate": 0.0, "seconds_left": None}) == "0 of 5 rows, 0.0 rows/s"
