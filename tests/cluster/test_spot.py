"""A job on spot nodes, 20 of which are drained with notice and 20 killed without: every row once, little time lost."""

import json
import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.clusters import job_values, run_script
from tests.faults.harness import scene_table

ROUNDS, ROWS = int(os.environ.get("SPOT_ROUNDS", "20")), 2_000


def test_spot_nodes(tmp_path: Path) -> None:
    rows = ROWS * ROUNDS // 20
    values = job_values(tmp_path, actors={"min": 1, "max": 3, "gpus": 1})
    pq.write_table(scene_table(rows), tmp_path / "table" / "a.parquet", row_group_size=50)
    script = Path(__file__).with_name("spot_job.py")
    printed = run_script(script, values, tmp_path, str(ROUNDS), seconds=1_800)
    [line] = [json.loads(line) for line in printed if line.startswith("{")]
    found = pq.read_table(tmp_path / "out").to_pylist()
    assert Counter(row["id"] for row in found) == Counter(i * 7 for i in range(rows))
    assert all(row["error"] is None for row in found)
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    print(
        f"\n{line['drained']} nodes drained, {line['killed']} killed: {summary['repeated_rows']} rows scored again, ",
        end="",
    )
    print(f"{line['seconds']:.0f} s, and {line['calm seconds']:.0f} s on nodes that stay")
    assert line["drained"] == line["killed"] == ROUNDS
