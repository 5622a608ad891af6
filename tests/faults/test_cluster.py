"""A node that goes, an actor that does not start at once: no row is lost."""

import os
import subprocess
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import JobConfig, run
from pipeline.predict import ViltActor
from tests.faults.harness import ROWS, TABLE, Outcome, scene_table


def values(folder: Path, out: str) -> dict[str, Any]:
    """A job over `ROWS` rows."""
    (folder / "table").mkdir(exist_ok=True)
    pq.write_table(scene_table(ROWS), folder / "table" / "a.parquet", row_group_size=50)
    return {
        "input": {"path": str(folder / "table"), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / out), "rows_per_file": 30},
        "precision": "float32",
        "actors": {"count": 2, "cpus": 1},
        "batch": {"window_rows": 40, "tokens": 512},
    }


def outcome(out: Path, fault: str, times: int) -> dict[int, float]:
    """Note what became of the rows; their scores."""
    rows = pq.read_table(out).to_pylist()
    ids = Counter(row["id"] for row in rows)
    TABLE.append(Outcome(fault, times, ROWS, len(ids), sum(count - 1 for count in ids.values())))
    assert ids == Counter(i * 7 for i in range(ROWS))
    assert not (out / "_progress").exists()
    return {row["id"]: row["score"] for row in rows}


def test_a_node_that_goes(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values(tmp_path, "out")))
    script = str(Path(__file__).parent / "cluster_job.py")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own:  # a short path: Ray has sockets below it
        environment["RAY_TMPDIR"] = own
        done = subprocess.run(
            [sys.executable, script, str(tmp_path / "job.yaml"), "2"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("node removed")]
    assert "ViltActor" in line
    assert "Monitor" not in line, "it is with the driver"
    outcome(tmp_path / "out", "one of two nodes removed", 1)


class LateActor(ViltActor):
    """Fails to start, twice."""

    def __init__(self, config: JobConfig, *args: Any, **kwargs: Any) -> None:
        failures = Path(config.output.path).with_name("failures")
        failures.mkdir(exist_ok=True)
        if len(list(failures.iterdir())) < 2:
            (failures / str(time.time_ns())).touch()
            raise RuntimeError("not yet")
        super().__init__(config, *args, **kwargs)


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_that_starts_the_third_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("pipeline.flow"), "ViltActor", LateActor)
    given = {**values(tmp_path, "out"), "actors": {"count": 1, "cpus": 1}}
    run(JobConfig.parse("score", given))
    assert len(list((tmp_path / "failures").iterdir())) == 2
    outcome(tmp_path / "out", "an actor's __init__ fails twice", 2)
