"""A job on a head and two GPU nodes, one of which is killed in mid-run: every row once, on what is left."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.faults.harness import scene_table

ROWS = 360


def run_job(folder: Path, how: str) -> dict[str, Any]:
    """Run `job.py`; what it tells. See there for `how`."""
    (folder / "table").mkdir()
    pq.write_table(scene_table(ROWS), folder / "table" / "a.parquet", row_group_size=50)
    values = {
        "input": {"path": str(folder / "table"), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "rows_per_file": 30},
        "precision": "float32",
        "actors": {"min": 1, "max": 2, "gpus": 1},
        "batch": {"window_rows": 40, "tokens": 512},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, str(Path(__file__).with_name("job.py")), str(folder / "job.yaml"), how]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own:  # a short path: Ray has sockets below it
        environment["RAY_TMPDIR"] = own
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = pq.read_table(folder / "out").to_pylist()
    assert Counter(row["id"] for row in rows) == Counter(i * 7 for i in range(ROWS))
    assert all(row["error"] is None for row in rows)
    assert not (folder / "out" / "_progress").exists()
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(line)


def test_a_gpu_node_is_replaced(tmp_path: Path) -> None:
    told = run_job(tmp_path, "replace")
    assert "MapWorker(MapBatches(NodeActor))" in told["lost actors"]
    assert told["took"].keys() == {"kept", "lost", "added"}, "each of them took work, the new one too"
    assert told["decoded"].keys() == {"head"}, "the only node without a GPU"


def test_a_gpu_node_is_not_replaced(tmp_path: Path) -> None:
    told = run_job(tmp_path, "shrink")
    assert told["took"].keys() == {"kept", "lost"}
    assert "kept" in told["decoded"], "the head has no cores"
