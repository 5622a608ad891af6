"""What commands write to stderr: lines for a person, or one JSON object an event and nothing else."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from jobs.console.log import Log, log_to_stderr

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]


def vilt(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "jobs.cli", *words, cwd=cwd)


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False)


def events(stderr: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stderr.splitlines()]
    for event in found:
        assert list(event)[:4] == ["time", "level", "event", "message"]
        assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
    return found


@pytest.fixture
def job_file(tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]) -> str:
    rows = scene_rows(40)
    rows[4]["image"] = b"<html>"
    values = {
        "input": {"path": write_table(rows), "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "scores"), "report": False},
        "batch": {"window_rows": 10, "tokens": 512},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    return "job.yaml"


def test_a_job_with_json(tmp_path: Path, job_file: str) -> None:
    done = vilt("score", job_file, "output.path=here", "--log", "json", "--log-every", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "here").num_rows == 40
    assert done.stdout.startswith("rows in     40\nscored      39\nrejected    1\n")
    told = [event for event in events(done.stderr) if event["event"] != "warning"]
    names = [event["event"] for event in told]
    assert "progress" in names
    assert [name for name in names if name != "progress"] == ["job_started", "rejected", "job_finished"]
    assert {event["level"] for event in told} == {"info"}
    assert told[-1]["rejected"] == {"image_unsupported": 1}
    assert told[-1]["message"].startswith("40 rows done, 1 rejected, in ")


@pytest.mark.usefixtures("ray_cluster")
def test_a_job_with_text(job_file: str, vilt_here: Command) -> None:
    done = vilt_here("score", job_file, "--log-every", "0.2")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if " of 40 rows (" in line]
    assert lines
    assert all(line[2] == line[5] == ":" and "limiting: " in line for line in lines)
    assert '"event"' not in done.stderr


def test_a_bad_config_with_json(tmp_path: Path, job_file: str, vilt_here: Command) -> None:
    words = (job_file, "input.imge=x", "--log", "json")
    done = {command: vilt_here(command, *words) for command in ("filter", "evaluate")}
    for command, one in {**done, "score": vilt("score", *words, cwd=tmp_path)}.items():
        assert (one.returncode, one.stdout) == (2, "")
        [event] = events(one.stderr)
        assert (event["event"], event["level"], event["exit_code"]) == ("failed", "error", 2)
        assert event["message"].startswith("job.yaml: input.imge: unknown key" if command == "score" else "job.yaml: ")


SCRIPT = """
import logging, subprocess, sys
from jobs.console.log import log_to_stderr
from pipeline.monitoring.events import emit

try:
    with log_to_stderr("json"):
        subprocess.run(["sh", "-c", "echo '\\033[31mfrom a child\\033[0m' >&2"], check=True)
        print("from Python", file=sys.stderr)
        emit("progress", "half", share=0.5)
        raise RuntimeError("nobody\\nexpects this")
finally:
    assert not logging.getLogger("pipeline").handlers
    print('{"time": "afterwards"}', file=sys.stderr)
"""


def test_warnings_of_the_models_pass_the_same_function(capfd: pytest.CaptureFixture[str]) -> None:
    """They name what checkpoints hold, and stderr may be a file that a terminal shows later."""
    kinds: tuple[Log, ...] = ("text", "verbose", "json")
    for log in kinds:
        with log_to_stderr(log):
            logging.getLogger("vilt.models.pretrained").warning("head of %s", "a\x1b[2Jb\nforged")
        written = capfd.readouterr().err
        assert "\x1b" not in written
        assert written.count("\n") == 1
        assert "forged" in written
    assert not logging.getLogger("vilt").handlers


def test_whatever_is_written_to_stderr_is_an_event(tmp_path: Path) -> None:
    done = python("-c", SCRIPT, cwd=tmp_path)
    assert done.returncode == 1
    lines, last = done.stderr.rstrip("\n").rsplit("\n", 1)
    assert last == '{"time": "afterwards"}'
    told = {event["message"]: event for event in events(lines)}
    assert told["from a child"]["source"] == told["from Python"]["source"] == "stderr"
    assert told["half"]["share"] == 0.5
    failed = told["RuntimeError: nobody expects this"]
    assert (failed["event"], failed["level"], failed["exit_code"]) == ("failed", "error", 1)
    assert "Traceback" in failed["traceback"]
