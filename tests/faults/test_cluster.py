"""A node that goes, an actor that does not start at once: no row is lost."""

import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import JobConfig, run
from pipeline.stages.predict import PredictActor
from tests.clusters import job_values, run_script
from tests.faults.harness import ROWS, TABLE, Outcome


def outcome(out: Path, fault: str, times: int) -> dict[int, float]:
    """Note what became of the rows; their scores."""
    rows = pq.read_table(out).to_pylist()
    ids = Counter(row["id"] for row in rows)
    TABLE.append(Outcome(fault, times, ROWS, len(ids), sum(count - 1 for count in ids.values())))
    assert ids == Counter(i * 7 for i in range(ROWS))
    assert not (out / "_progress").exists()
    return {row["id"]: row["score"] for row in rows}


def test_a_node_that_goes(tmp_path: Path) -> None:
    values = job_values(tmp_path, actors={"count": 2, "cpus": 1})
    printed = run_script(Path(__file__).with_name("cluster_job.py"), values, tmp_path, "2")
    [line] = [line for line in printed if line.startswith("node removed")]
    assert "PredictActor" in line
    assert "Monitor" not in line, "it is with the driver"
    outcome(tmp_path / "out", "one of two nodes removed", 1)


class LateActor(PredictActor):
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
    monkeypatch.setattr(import_module("pipeline.scoring.dataflow"), "PredictActor", LateActor)
    run(JobConfig.parse("score", job_values(tmp_path, actors={"count": 1, "cpus": 1})))
    assert len(list((tmp_path / "failures").iterdir())) == 2
    outcome(tmp_path / "out", "an actor's __init__ fails twice", 2)
