"""A Delta table through every job: our own output as input, a table that moves on, an input that reindex follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import ConfigError, JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.planning.sampling import draw_sample
from pipeline.reindexing.reindex import reindex
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import prepare
from pipeline.tables.table import open_table

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]


def job(source: object, out: object, task: str = "score", **keys: Any) -> JobConfig:
    values = {"path": str(source), "text": "caption", "id": "id", **keys}
    output = {
        "path": str(out),
        "report": False,
        "keep_image": True,
        "format": "delta" if Path(str(out)).name == "table_of_results" else "parquet",
    }
    return JobConfig.parse(task, {"input": values, "model": "zoo://scenes", "output": output})


def append(folder: Path, rows: Rows) -> None:
    write_deltalake(folder, pa.Table.from_pylist(rows), mode="append", partition_by=["source"])


def test_jobs(tmp_path: Path, scene_rows: Callable[[int], Rows]) -> None:
    rows, table = scene_rows(12), tmp_path / "table"
    append(table, rows[:6])
    append(table, rows[6:10])
    DeltaTable(table).delete("id = 3")  # a file is written anew, without one row

    summary = run(job(table, tmp_path / "scores"))
    assert (summary.rows_in, summary.scored) == (9, 9)
    out = pq.read_table(tmp_path / "scores")
    assert sorted(out["id"].to_pylist()) == [i * 3 for i in range(10) if i != 1]
    assert sorted(zip(out["id"].to_pylist(), out["source"].to_pylist(), strict=True)) == sorted(
        (row["id"], row["source"]) for row in rows[:10] if row["id"] != 3
    )
    assert len(draw_sample(open_table(job(table, "/nowhere")), 5, seed=0).rows) == 5

    values = {"input": {"path": str(table), "id": "id"}, "scores": str(tmp_path / "scores"), "keep": {"top": 0.5}}
    good = FilterConfig.checked({**values, "output": {"path": str(tmp_path / "good"), "report": False}})
    assert filter_table(good).kept == 5
    kept = pq.read_table(tmp_path / "good" / "kept")
    assert kept.num_rows == 5
    assert set(kept["source"].to_pylist()) <= {"s0", "s1", "s2"}, "the partition is a column of the copy"

    append(table, rows[10:])
    again = FilterConfig.checked({**values, "output": {"path": str(tmp_path / "other"), "report": False}})
    with pytest.raises(ConfigError, match=r"new: .*\(it was version 2; input\.version=2 reads that\)"):
        filter_table(again)
    pinned = {
        **values,
        "input": {**values["input"], "version": 2},
        "output": {"path": str(tmp_path / "other"), "report": False},
    }
    assert filter_table(FilterConfig.checked(pinned)).kept == 5
    assert run(job(table, tmp_path / "scores", version=2)).finished_before


def test_a_table_that_moved_on(tmp_path: Path, scene_rows: Callable[[int], Rows]) -> None:
    rows, table = scene_rows(6), tmp_path / "table"
    append(table, rows[:4])
    begun = prepare(job(table, tmp_path / "out"))
    append(table, rows[4:])
    with ParquetOutput(begun) as output:
        assert output.begin() is None
        (tmp_path / "out" / "_progress" / "part.parquet").write_bytes(b"")  # so that there is something to resume
    line = "it reads version 0 of the table, which is at version 1 now: to finish it, .* input.version=0"
    with pytest.raises(ConfigError, match=line):
        run(job(table, tmp_path / "out"))
    again = prepare(job(table, tmp_path / "out", version=0))
    assert (again.identity, again.table.rows) == (begun.identity, 4), "so that it is resumed"


def test_reindex_follows_the_log_and_our_output_is_an_input(tmp_path: Path, scene_rows: Callable[[int], Rows]) -> None:
    rows, table, out = scene_rows(8), tmp_path / "table", tmp_path / "table_of_results"
    append(table, rows[:6])
    first = reindex(job(table, out)).commit
    assert (first.counts["files_new"], first.counts["rows_read"]) == (3, 6)
    assert not reindex(job(table, out)).new
    append(table, rows[6:8])
    DeltaTable(table).optimize.compact()
    second = reindex(job(table, out)).commit
    assert (second.counts["rows_in"], second.counts["rows_out"]) == (8, 8)
    assert second.counts["rows_read"] == 2, "rows that were compacted into other files keep their results"

    ours = prepare(job(out, tmp_path / "answers", "answer", columns=["id"])).table
    assert (ours.version, ours.rows) == ("version 1", 8)
