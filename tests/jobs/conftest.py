"""The command `vilt`; outputs of finished jobs, made once: what show and report look at."""

from __future__ import annotations

import base64
import fcntl
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from jobs.cli import app
from pipeline import JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table


def thumbnails(page: str) -> list[bytes]:
    """The pictures in a report, as JPEG."""
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


HOSTILE = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> \x1b[31mred"


@pytest.fixture
def vilt_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in this process, where torch and Ray are imported already; what it and its libraries print."""
    monkeypatch.chdir(tmp_path)

    def vilt(*words: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            get_command(app)(words)
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(words, code, *capfd.readouterr())

    return vilt


@pytest.fixture(scope="session")
def outputs(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: None, scene_rows: Callable[[int], list[dict[str, Any]]]
) -> Path:
    """A folder with `table` of 30 scenes, their `scores` and `answers`, and `filtered`, the best half of them."""
    del ray_cluster
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "outputs"  # one for all processes
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "filtered" / "_summary.json").exists():
            make_outputs(folder, scene_rows(30))
    return folder


def make_outputs(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Run the jobs of `outputs`."""
    rows[2]["image"] = b"<html>"
    rows[4]["caption"] = ""
    for row in rows[6:]:
        row["caption"] = f"{HOSTILE} {row['id']}"
    (folder / "table").mkdir(parents=True)
    for i in range(3):
        part = pa.Table.from_pylist(rows[10 * i : 10 * i + 10])
        pq.write_table(part, folder / "table" / f"{i}.parquet", row_group_size=4)
    table = {"path": str(folder / "table")}
    for task, text, more in (("score", "caption", {}), ("answer", "question", {"columns": ["id"]})):
        values = {
            "input": {**table, "text": text, **more},
            "model": "zoo://scenes",
            "output": {"path": str(folder / f"{task}s"), "rows_per_file": 10},
            "batch": {"window_rows": 10},
            "max_error_rate": 1,
        }
        run(JobConfig.parse(task, values))  # type: ignore[arg-type]
    values = {
        "input": {**table, "text": "caption"},
        "scores": str(folder / "scores"),
        "keep": {"top": 0.5},
        "output": {"path": str(folder / "filtered")},
    }
    filter_table(FilterConfig.checked(values))
