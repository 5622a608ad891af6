"""`vilt reindex` started again and again over a folder that changes on S3, killed now and then, and twice at once.

After the last run the table is what scoring everything anew gives, row for row.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from deltalake import DeltaTable

from jobs.demo.s3_server import S3_KEY, S3_SECRET, S3Server
from tests.faults.harness import VILT, scene_table

RUNS = 20
LINES: list[str] = []


class Cron:
    """A bucket with a table of scenes that is edited, and the command that follows it."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.folder, self.rng = folder, Random(8)
        self.environment = {**os.environ, **server.environment()}
        options = {"endpoint_url": server.endpoint, "key": S3_KEY, "secret": S3_SECRET}
        self.s3 = s3fs.S3FileSystem(**options, skip_instance_cache=True, use_listings_cache=False)
        self.s3.makedirs("cron")
        self.pool = scene_table(3000)
        self.next = 0
        self.files: dict[str, list[int]] = {}  # places in the pool
        self.config = folder / "reindex.yaml"
        values = {
            "input": {"path": "s3://cron/table", "text": "caption", "id": "id"},
            "model": "zoo://scenes",
            "precision": "float32",
            "batch": {"window_rows": 40, "tokens": 512},
        }
        output = {"path": "s3://cron/scores", "rows_per_file": 30}
        self.config.write_text(yaml.safe_dump({**values, "task": "score", "output": output}))
        full = {"path": "s3://cron/full", "report": False}
        (folder / "full.yaml").write_text(yaml.safe_dump({**values, "output": full}))

    def fresh(self, rows: int) -> list[int]:
        self.next += rows
        return list(range(self.next - rows, self.next))

    def put(self, name: str, rows: list[int]) -> None:
        self.files[name] = rows
        with self.s3.open(f"cron/table/{name}.parquet", "wb") as file:
            pq.write_table(self.pool.take(pa.array(rows)), file, row_group_size=50)

    def drop(self, name: str) -> None:
        del self.files[name]
        self.s3.rm_file(f"cron/table/{name}.parquet")

    def edit(self) -> str:
        """One change of the folder, and what it was."""
        names, kind = sorted(self.files), self.rng.choice(["add", "add", "edit", "delete", "merge", "nothing"])
        if kind == "add" or len(names) < 2:
            self.put(f"f{self.next:05}", self.fresh(self.rng.randint(30, 120)))
            return "add"
        one, two = self.rng.sample(names, 2)
        if kind == "edit":
            rows = [row for row in self.files[one] if self.rng.random() < 0.8]
            self.put(one, [*rows, *self.fresh(self.rng.randint(1, 30))])
        elif kind == "delete":
            self.drop(one)
        elif kind == "merge":
            rows = self.files[one] + self.files[two]
            self.drop(one)
            self.drop(two)
            self.put(f"merged{self.next:05}", rows)
            self.next += 1
        return kind

    def start(self, *words: str) -> subprocess.Popen[str]:
        with (self.folder / "log").open("ab") as log:
            command = [str(VILT), *(words or ("reindex", "reindex.yaml", "--json"))]
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The summary line of a run, which is all that it prints."""
        out = process.communicate(timeout=400)[0]
        summary = json.loads(out)
        assert summary["exit_code"] == process.returncode, (self.folder / "log").read_text()[-3000:]
        return summary

    def held(self) -> list[dict[str, Any]]:
        names = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & self.environment.keys()
        options = {name: self.environment[name] for name in names} | {"AWS_ALLOW_HTTP": "true"}
        return DeltaTable("s3://cron/scores", storage_options=options).to_pyarrow_table().to_pylist()


def test_cron(folder: Path, server: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    cron = Cron(folder, server)
    for name in "ab":
        cron.put(name, cron.fresh(90))
    kills = overlaps = 0
    for run in range(1, RUNS + 1):
        fewest = int(run % 5 == 2)  # a run that is killed has work
        edits = [cron.edit() for _ in range(cron.rng.randint(fewest, 2))] if run > 1 else ["add", "add"]
        what, started = ", ".join(edits) or "nothing", time.monotonic()
        process = cron.start()
        if run % 5 == 2:  # killed, at any moment
            time.sleep(cron.rng.uniform(2, 10))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            note(run, what, {"status": "killed"}, started)
            continue
        if run % 5 == 4:  # two at once
            other = cron.start()
            summaries = [cron.end(process), cron.end(other)]
            assert sorted(s["exit_code"] for s in summaries) in ([0, 4], [0, 0]), summaries
            overlaps += any(s["exit_code"] == 4 for s in summaries)
            for summary in summaries:
                note(run, what, summary, started)
            continue
        summary = cron.end(process)
        assert summary["exit_code"] == 0
        note(run, what, summary, started)
        rows = cron.held()
        ids = [i * 7 for places in cron.files.values() for i in places]
        assert Counter(row["id"] for row in rows) == Counter(ids)
    assert cron.end(cron.start())["exit_code"] == 0
    assert cron.end(cron.start())["status"] == "nothing_to_do"

    full = cron.start("score", "full.yaml")
    full.communicate(timeout=400)
    assert full.returncode == 0
    anew = {row["id"]: row for row in pq.read_table("cron/full", filesystem=cron.s3).to_pylist()}
    kept = cron.held()
    assert len(kept) == len(anew) == len({row["id"] for row in kept})
    furthest = max(abs(row["score"] - anew[row["id"]]["score"]) for row in kept)
    assert furthest < 1e-4
    assert all(row["caption"] == anew[row["id"]]["caption"] and row["error"] is None for row in kept)
    LINES.append(f"{kills} killed, {overlaps} met another; {len(kept)} rows, scores at most {furthest:.1e} off")
    with capsys.disabled():
        print("\n" + "\n".join(LINES))
    assert kills
    assert overlaps


def note(run: int, what: str, summary: dict[str, Any], started: float) -> None:
    """A line of the table: what the folder had met, what the run did."""
    if "rows_read" in summary and summary["status"] == "done":
        names = ("files", "rows_read", "rows_moved", "rows_left", "rows_out")
        did = ", ".join(f"{summary[name]} {name.removeprefix('rows_')}" for name in names)
    else:
        did = ""
    status = f"{summary['status']:14} {summary.get('exit_code', '')!s:3}"
    LINES.append(f"run {run:2}  {what:16} {status} {time.monotonic() - started:5.1f} s  {did}")
