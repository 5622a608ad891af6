"""Write tables of every format, and read them as read tasks do, in this process."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.tables.datasource import windows_of
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table

Rows = list[dict[str, Any]]
ROWS = [{"n": i, "image": f"{i}.png", "text": f'a "{i}",\nb' if i % 3 else f"0{i}"} for i in range(23)]


def config(path: object, **keys: Any) -> JobConfig:
    values = {"input": {"path": str(path), **keys}, "model": "zoo://scenes", "output": {"path": "/nowhere/out"}}
    return JobConfig.parse("score", {**values, "batch": {"window_rows": 5}})


def table_of(job: JobConfig) -> pa.Table:
    """The rows of a job's table, without `__row_key`, and without `row_hash` if there are ids."""
    table = open_table(job)
    plan = read_plan(table, job.batch.window_rows)
    tables = (rows for one in table.unread(RowSet.none()) for rows in one.read(plan))
    windows = list(windows_of(tables, plan.window_rows))
    if not windows:
        assert not table.rows, "counted before, and read"
        return plan.columns.empty_table()
    whole = pa.concat_tables(windows)
    assert whole.num_rows == table.rows, "counted before, and read"
    return whole.drop_columns(["__row_key", "row_hash"] if job.input.id else ["__row_key"])


def rows_of(job: JobConfig) -> Rows:
    return table_of(job).to_pylist()


def texts_of(path: object, **keys: Any) -> list[str]:
    return [row["text"] for row in rows_of(config(path, **keys))]


def refusal(path: object, **keys: Any) -> str:
    """The line with which a table is refused."""
    with pytest.raises(ConfigError) as caught:
        rows_of(config(path, **keys))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def some(*numbers: int, **columns: Any) -> pa.Table:
    """Rows whose texts are these numbers."""
    texts = [str(number) for number in numbers]
    return pa.table({"image": [f"{text}.png" for text in texts], "text": texts, **columns})


def write_csv(file: Path, rows: Rows) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def write_jsonl(file: Path, rows: Rows) -> None:
    data = "\n".join(map(json.dumps, rows)).encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def write_parquet(file: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=4)


def write_tar(file: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".csv": write_csv,
    ".csv.gz": write_csv,
    ".jsonl": write_jsonl,
    ".json": write_jsonl,
    ".ndjson.gz": write_jsonl,
    ".parquet": write_parquet,
}
