"""An output as a job writes it, of rows whose scores are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_output(folder: Path, task: str = "score", **columns: Any) -> str:
    """Write results with these columns; `score` null: a rejected row. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    score = columns.get("score", columns.get("answer_score"))
    errors = [None if one is not None else "image_null" for one in score.to_pylist()]
    results = pa.table(
        {**columns, "error": pa.array(errors, pa.string()), "error_detail": pa.nulls(len(errors), pa.string())}
    )
    pq.write_table(results.replace_schema_metadata({"vilt.task": task}), folder / "part-0.parquet")
    rows = results.num_rows
    summary = {"tasks": [task], "rows_in": rows, "pairs": rows, "files": ["part-0.parquet"], "lineage": {}}
    (folder / "_summary.json").write_text(json.dumps(summary))
    return str(folder)
