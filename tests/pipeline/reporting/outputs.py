"""Outputs of finished jobs, written without running one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_output(
    folder: Path,
    columns: Mapping[str, Any],
    tasks: Sequence[str] = ("score",),
    files: int = 1,
    input_hash: str = "same",
    **input_keys: Any,
) -> str:
    """Write results and a summary into a new folder; a column "error" is added if there is none.

    Args:
        folder: The output folder.
        columns: The results.
        tasks: Of the job.
        files: How many files to write.
        input_hash: What stands for the table in the job's identity.
        **input_keys: The section `input` of the config.
    """
    folder.mkdir(parents=True)
    table = pa.table(dict(columns))
    for name in ("error", "error_detail"):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), pa.string()))
    table = table.replace_schema_metadata({"vilt.task": ",".join(tasks)})
    size = -(-len(table) // files)
    names = [f"part-{number}.parquet" for number in range(files)]
    for number, name in enumerate(names):
        pq.write_table(table.slice(number * size, size), folder / name)
    summary = {
        "tasks": list(tasks),
        "rows_in": len(table),
        "pairs": len(table),
        "seconds": 1.0,
        "files": names,
        "lineage": {"vilt.task": ",".join(tasks), "vilt.model": "zoo://scenes"},
        "identity": {"input": input_hash},
        "input": {"path": str(folder.parent / "table"), **input_keys},
    }
    (folder / "_summary.json").write_text(json.dumps(summary))
    return str(folder)
