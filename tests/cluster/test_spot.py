"""A job on spot nodes, 20 of which are drained with notice and 20 killed without: every row once, little time lost.

`make spot` runs it alone; SPOT_ROUNDS=3 is a short one. How much time is lost is printed: it is the machine's as well.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.clusters import job_values, run_script
from tests.faults.harness import scene_table

ROUNDS = int(os.environ.get("SPOT_ROUNDS", "20"))
SECONDS_BETWEEN = float(os.environ.get("SPOT_SECONDS", "15"))  # two losses; three nodes, so each lives three times that
ROWS_A_SECOND = 20  # of three actors of `spot_job.py`


def test_spot_nodes(tmp_path: Path) -> None:
    work = (2 * ROUNDS + 1) * SECONDS_BETWEEN  # to the end of the losses
    rows = int(work * ROWS_A_SECOND)
    values = job_values(tmp_path, actors={"min": 1, "max": 4, "gpus": 1})
    values["output"]["rows_per_file"] = 500
    pq.write_table(scene_table(rows), tmp_path / "table" / "a.parquet", row_group_size=50)
    script = Path(__file__).with_name("spot_job.py")
    printed = run_script(script, values, tmp_path, str(ROUNDS), str(SECONDS_BETWEEN), seconds=600 + 6 * work)
    [line] = [json.loads(line) for line in printed if line.startswith("{")]
    found = pq.read_table(tmp_path / "out").to_pylist()
    assert Counter(row["id"] for row in found) == Counter(i * 7 for i in range(rows))
    assert all(row["error"] is None for row in found)
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    repeated = f"{summary['repeated_rows']:,} of {rows:,} rows scored again"
    print(f"\n{line['drained']} nodes drained, {line['killed']} killed: {repeated}")
    lost = line["seconds"] / line["calm seconds"] - 1
    print(f"{line['seconds']:.0f} s, {line['calm seconds']:.0f} s on nodes that stay: {lost:.0%} lost")
    print(f"medians, s: {line['steps']}")
    assert line["drained"] == line["killed"] == ROUNDS
