"""A job on a head and two GPU nodes, one of which is killed in mid-run: every row once, on what is left."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.clusters import job_values, run_script
from tests.faults.harness import ROWS


def run_job(folder: Path, how: str) -> dict[str, Any]:
    """Run `job.py`; what it tells. See there for `how`."""
    values = job_values(folder, actors={"min": 1, "max": 2, "gpus": 1})
    printed = run_script(Path(__file__).with_name("job.py"), values, folder, how)
    rows = pq.read_table(folder / "out").to_pylist()
    assert Counter(row["id"] for row in rows) == Counter(i * 7 for i in range(ROWS))
    assert all(row["error"] is None for row in rows)
    assert not (folder / "out" / "_progress").exists()
    [line] = [line for line in printed if line.startswith("{")]
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
