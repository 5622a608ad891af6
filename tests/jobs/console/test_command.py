"""How a command ends: its outcome, or one line on stderr and one of JSON."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from jobs.console.command import NOTHING_TO_DO, Outcome, run_command
from jobs.console.tables import facts
from pipeline.common.errors import BusyError, ConfigError

Print = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
GOOD = Outcome(facts([("rows in", "3")]), {"rows_in": 3}, NOTHING_TO_DO)


def failing(error: BaseException) -> Callable[[], Outcome]:
    def job() -> Outcome:
        raise error

    return job


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where log files of errors go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_an_outcome(capsys: Print) -> None:
    assert run_command(lambda: GOOD) == 0
    assert capsys.readouterr() == ("rows in     3\n", "")
    assert run_command(lambda: GOOD, as_json=True) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"status": "nothing_to_do", "exit_code": 0, "rows_in": 3}
    assert told.out.count("\n") == 1


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("error", "code", "status", "line"),
    [
        (ConfigError("model: wrong"), 2, "bad_config", "model: wrong"),
        (ConfigError("input: 'a\nb\x1b[2J'"), 2, "bad_config", r"input: 'a\nb\x1b[2J'"),
        (BusyError(), 4, "busy", "BusyError"),
        (KeyboardInterrupt(), 130, "interrupted", "stopped; run the same command again to resume"),
    ],
)
def test_an_expected_error_is_one_line(
    error: BaseException, code: int, status: str, line: str, as_json: bool, capsys: Print
) -> None:
    assert run_command(failing(error), as_json=as_json) == code
    told = capsys.readouterr()
    assert told.err == f"{line}\n"
    if as_json:
        assert told.out.count("\n") == 1
        values = json.loads(told.out)
        assert (values["status"], values["exit_code"]) == (status, code)
    else:
        assert told.out == ""


@pytest.mark.parametrize("log", ["text", "json"])
@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep\nvery"), MemoryError(), ImportError("no torch")])
def test_an_unexpected_error_is_one_line_and_a_log_file(
    error: Exception, log: Literal["text", "json"], temporary: Path, capfd: Print
) -> None:
    assert run_command(failing(error), log, as_json=True) == 1
    told = capfd.readouterr()
    [file] = temporary.iterdir()
    values = json.loads(told.out)
    assert (values["status"], values["exit_code"], values["traceback_file"]) == ("failed", 1, str(file))
    assert told.err.count("\n") == told.out.count("\n") == 1
    line = json.loads(told.err)["message"] if log == "json" else told.err
    assert line.startswith(f"unexpected error, {type(error).__name__}")
    assert f"the traceback is in {file}; finished parts are kept: run the same command again" in line
    assert "Traceback (most recent call last)" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0, "it may hold secrets"
    if log == "json":
        assert "Traceback (most recent call last)" in json.loads(told.err)["traceback"]


def test_credentials_do_not_reach_the_line_or_the_file(temporary: Path, capsys: Print) -> None:
    error = RuntimeError("cannot read https://user:hunter2@host/a?signature=hunter3 now")
    assert run_command(failing(error), as_json=True) == 1
    told = capsys.readouterr()
    [file] = temporary.iterdir()
    for text in (told.out, told.err, file.read_text()):
        assert "cannot read https://host/a?signature=*** now" in text
        assert "hunter" not in text


def test_an_error_without_a_place_for_its_log(monkeypatch: pytest.MonkeyPatch, capsys: Print) -> None:
    def full(*_: object, **__: object) -> tuple[int, str]:
        raise OSError("no space")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert run_command(failing(KeyError("x"))) == 1
    assert "no log file could be written for the traceback" in capsys.readouterr().err


def test_an_exception_while_events_are_logged_leaves_no_handler() -> None:
    run_command(failing(ConfigError("x")))
    assert not logging.getLogger("pipeline").handlers


BROKEN_PIPE = """
import sys
from jobs.console.command import Outcome
from jobs.console.process import run_process
from jobs.console.command import run_command
from jobs.console.tables import lines

run_process(lambda: run_command(lambda: Outcome(lines(*map(str, range(100_000))), {})))
"""


def test_a_reader_that_ends_first() -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", f'{sys.executable} -c "$SCRIPT" | head -1; exit "${{PIPESTATUS[0]}}"']
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "SCRIPT": BROKEN_PIPE}, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")
