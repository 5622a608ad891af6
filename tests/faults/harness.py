"""A job of its own process on an S3 server of its own, to be disturbed, and the table of what became of it.

`FAULTS` sets how often each fault is made; `make faults` sets it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import s3fs
import yaml

from jobs.demo import scenes
from jobs.demo.s3_server import S3_KEY, S3_SECRET, S3Server

FAULTS = int(os.environ.get("FAULTS", "1"))
ROWS = 360
VILT = Path(sys.executable).parent / "vilt"


@dataclass
class Outcome:
    """A row of the table."""

    fault: str
    times: int
    rows_in: int
    rows_out: int
    doubled: int
    rejected: dict[str, int] = field(default_factory=dict)
    seconds_lost: float | None = None


TABLE: list[Outcome] = []


def scene_table(rows: int) -> pa.Table:
    """Drawn scenes with a caption each, ids that are not their places."""
    rng = Random(5)
    drawn = [scenes.random_scene(rng) for _ in range(60)]
    pictures = [scenes.encode(scenes.draw(scene, rng), rng) for scene in drawn]
    captions = [scenes.caption(scene.things) for scene in drawn]
    return pa.table(
        {
            "id": [i * 7 for i in range(rows)],
            "image": [pictures[i % 60] for i in range(rows)],
            "caption": [captions[(i + i // 60) % 60] for i in range(rows)],
        }
    )


class Job:
    """`vilt score` from one folder of a bucket to another."""

    def __init__(self, folder: Path, server: S3Server, name: str, **keys: Any) -> None:
        self.folder, self.name = folder, name
        self.environment = {**os.environ, **server.environment()}
        options = {"endpoint_url": server.endpoint, "key": S3_KEY, "secret": S3_SECRET}
        self.s3 = s3fs.S3FileSystem(**options, skip_instance_cache=True, use_listings_cache=False)
        self.s3.makedirs(name, exist_ok=True)
        table = scene_table(ROWS)
        for i in range(3):
            with self.s3.open(f"{name}/table/{i}.parquet", "wb") as file:
                pq.write_table(table.slice(i * ROWS // 3, ROWS // 3), file, row_group_size=50)
        values: dict[str, Any] = {
            "input": {"path": f"s3://{name}/table", "text": "caption", "id": "id"},
            "model": "zoo://scenes",
            "output": {"path": f"s3://{name}/scores", "rows_per_file": 30, "report": False},
            "precision": "float32",
            "batch": {"window_rows": 40, "tokens": 512},
        }
        for key, value in keys.items():
            section, _, inner = key.partition("__")
            values.setdefault(section, {})[inner] = value
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
        self.log = folder / f"{name}.log"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """The driver; what it prints goes to `log`."""
        with self.log.open("ab") as log:
            command = [str(VILT), "score", f"{self.name}.yaml", *words]
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def finish(self, *words: str) -> float:
        """Run to the end; the seconds."""
        started = time.monotonic()
        code = self.start(*words).wait(timeout=400)
        assert code == 0, self.log.read_text()[-3000:]
        return time.monotonic() - started

    def parts(self) -> int:
        """Files that the unfinished job has written."""
        return len([path for path in self.s3.find(f"{self.name}/scores/_progress") if "part-" in path])

    def wait_for_parts(self, count: int, driver: subprocess.Popen[bytes]) -> None:
        """Until the job has written so much, or has ended."""
        while self.parts() < count and driver.poll() is None:
            time.sleep(0.1)

    def workers(self, driver: subprocess.Popen[bytes], title: str) -> list[int]:
        """The processes below the driver whose title has this word: Ray names them by what they run."""
        parents, titles = {}, {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(entry.name)] = (entry / "cmdline").read_text()
            except OSError:
                continue

        def below(pid: int) -> bool:
            while pid and pid != driver.pid:
                pid = parents.get(pid, 0)
            return pid == driver.pid

        return [pid for pid, text in titles.items() if title in text and text.startswith("ray::") and below(pid)]

    def kill_worker(self, driver: subprocess.Popen[bytes], title: str) -> bool:
        """`kill -9` one such process, as soon as there is one; whether there was before the job ended."""
        while driver.poll() is None:
            for pid in self.workers(driver, title):
                os.kill(pid, signal.SIGKILL)
                return True
            time.sleep(0.02)
        return False

    def outcome(self, fault: str, times: int, seconds_lost: float | None = None) -> Outcome:
        """Read the results, and note what became of the rows. Nothing else may be in the folder."""
        names = [path.removeprefix(f"{self.name}/scores/") for path in self.s3.find(f"{self.name}/scores")]
        assert all(name in {"_summary.json", "_input.json"} or name.startswith("part-") for name in names), names
        rows = pq.read_table(f"{self.name}/scores", filesystem=self.s3).to_pylist()
        ids = Counter(row["id"] for row in rows)
        rejected = dict(Counter(row["error"] for row in rows if row["error"]))
        doubled = sum(count - 1 for count in ids.values())
        found = Outcome(fault, times, ROWS, len(ids), doubled, rejected, seconds_lost)
        TABLE.append(found)
        assert ids == Counter(i * 7 for i in range(ROWS))
        self.scores = {row["id"]: row["score"] for row in rows}
        return found
