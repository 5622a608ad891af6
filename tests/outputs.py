"""Outputs of finished jobs: what show and report look at."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table


def thumbnails(page: str) -> list[bytes]:
    """The pictures in a report, as JPEG."""
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


HOSTILE = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> \x1b[31mred"


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
            "output": {"path": str(folder / f"{task}s"), "report": False, "rows_per_file": 10},
            "batch": {"window_rows": 10},
            "max_error_rate": 1,
        }
        run(JobConfig.parse(task, values))  # type: ignore[arg-type]
    values = {
        "input": {**table, "text": "caption"},
        "scores": str(folder / "scores"),
        "keep": {"top": 0.5},
        "output": {"path": str(folder / "filtered"), "report": False},
    }
    filter_table(FilterConfig.checked(values))
