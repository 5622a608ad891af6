"""`kill -9` of `vilt evaluate` in the middle of its retrieval: the same command resumes, and measures the same."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.faults.harness import VILT
from tests.pipeline.evaluation import drawn

IMAGES = 48


class Evaluation:
    """`vilt evaluate` of one folder."""

    def __init__(self, folder: Path, name: str, data: tuple[str, str]) -> None:
        self.out, self.file, self.log = folder / name, folder / f"{name}.yaml", folder / f"{name}.log"
        values = {
            "retrieval": {"model": "zoo://scenes", "annotations": data[0], "images": data[1]},
            "output": {"path": str(self.out)},
            "precision": "float32",
            "bootstrap": {"resamples": 100},
        }
        self.file.write_text(yaml.safe_dump(values))

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            command = [str(VILT), "evaluate", str(self.file), "--log", "json"]
            return subprocess.Popen(command, cwd=self.file.parent, stdout=log, stderr=log)

    def finish(self) -> dict[str, Any]:
        """Run to the end; what it has measured."""
        assert self.start().wait(timeout=400) == 0, self.log.read_text()[-3000:]
        found: dict[str, Any] = json.loads((self.out / "evaluation.json").read_text())["benchmarks"]["retrieval"]
        return found

    def parts(self) -> int:
        return len([*(self.out / "retrieval" / "scores" / "_progress").rglob("part-*.parquet")])

    def events(self) -> list[dict[str, Any]]:
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]


def test_an_evaluation_that_is_killed_twice(folder: Path) -> None:
    data = drawn.karpathy(folder, IMAGES)
    calm, killed = Evaluation(folder, "calm", data), Evaluation(folder, "killed", data)
    expected = calm.finish()
    for parts in (1, 3):
        driver = killed.start()
        while killed.parts() < parts and driver.poll() is None:
            time.sleep(0.02)
        assert driver.poll() is None, killed.log.read_text()[-3000:]
        driver.kill()
        driver.wait()
        assert not (killed.out / "evaluation.json").exists()
    found = killed.finish()
    assert found["metrics"] == expected["metrics"]
    done = next(event for event in killed.events() if event.get("event") == "job_finished")
    assert 0 < done["resumed_rows"] < IMAGES
    rows = [pq.read_table(one.out / "retrieval" / "scores").sort_by("imgid") for one in (calm, killed)]
    assert rows[0].num_rows == IMAGES
    assert rows[0].select(["imgid", "best_texts"]).equals(rows[1].select(["imgid", "best_texts"])), "to the bit"
