"""`output.join`: results in the order and the files of the input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from fsspec.implementations.local import LocalFileSystem
from ray.data._internal.execution.interfaces import TaskContext

from pipeline import ConfigError, JobConfig, run
from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import row_key
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.results import input_order
from pipeline.results.file_footer import ResultFile
from pipeline.results.output_folder import OutputFolder
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.reader import open_results
from pipeline.results.result_parts import ResultParts
from pipeline.tables.table import open_files
from tests.pipeline.results.test_result_parts import results

Rows = list[dict[str, Any]]
NAMES = ["year=2025/part-0.parquet", "year=2025/part-1.parquet", "year=2026/part-0.parquet"]


def config(table: str, out: str, **output: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": out, "report": False, "join": True, "rows_per_file": 7, **output},
        "batch": {"window_rows": 8},
        "precision": "float32",
        "max_error_rate": 1,
    }
    return JobConfig.parse("score", values)


def write_input(folder: Path, rows: Rows) -> Path:
    """Thirty rows in files of 17, 0 and 13, in folders that name a column."""
    table = folder / "table"
    schema = pa.Table.from_pylist(rows).schema
    for name, some in zip(NAMES, (rows[:17], [], rows[17:]), strict=True):
        (table / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(some, schema), table / name, row_group_size=5)
    return table


def test_parts_of_any_order_are_put_in_the_order_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_order, "GROUP_ROWS", 3)
    monkeypatch.setattr(input_order, "READ_BYTES", 200)  # some rows at a time
    rows = [{"image": b"x", "caption": f"{i}", "id": i} for i in range(30)]
    table = open_files(InputConfig(path=str(write_input(tmp_path, rows))), StorageConfig())
    storage, order = LocalFileSystem(), np.random.default_rng(0)
    keys = order.permutation(np.concatenate([row_key(0) + np.arange(17), row_key(2) + np.arange(13)]))
    output = OutputFolder(storage, f"{tmp_path}/out", {"config": "c"})
    retried = {int(row_key(0, 4)): "fetch_timeout", int(row_key(2, 4)): "image_null"}
    with output:
        assert output.begin(overwrite=False) is None
        parts = ResultParts(output, in_input_order=True)
        parts.load()
        write_parts(parts, [keys[:8], keys[8:9], keys[9:]], "RUN", retried)
        parts.audit(30)
        parts.put_in_input_order(table)
        assert parts.new_names() == NAMES
        total = ResultFile.total(parts.all())
        assert (total.rows, total.tokens, total.micro_batches) == (30, 300, 3)
        output.publish({"identity": output.identity, "files": parts.names()}, parts.new_names())
    for number, name, count in ((0, NAMES[0], 17), (1, NAMES[1], 0), (2, NAMES[2], 13)):
        file = pq.ParquetFile(tmp_path / "out" / name)
        assert file.schema_arrow.names == ["row", "error"]
        assert file.read()["row"].to_pylist() == [row_key(number, row) for row in range(count)]
        assert file.metadata.metadata[b"vilt.model"] == b"m"
    # The row whose error may pass is tried again: the file that has it is written anew, the others stay.
    with output:
        assert output.begin(overwrite=False, retry_errors=True) is None
        parts = ResultParts(output, in_input_order=True)
        parts.load()
        assert parts.keep_finished()
        assert sorted(part.name for part in parts.kept) == NAMES[1:]
        assert len(parts.done) == 29
        write_parts(parts, [np.array([row_key(0, 4)])], "LATER", {})
        parts.audit(30)
        parts.put_in_input_order(table)
        assert (parts.new_names(), parts.names()) == (NAMES[:1], NAMES)
        output.publish({"identity": output.identity, "files": parts.names()}, parts.new_names())
    rows_out = pq.ParquetFile(tmp_path / "out" / NAMES[0]).read()
    assert rows_out["row"].to_pylist() == [row_key(0, row) for row in range(17)]
    assert rows_out["error"].null_count == 17
    assert not (tmp_path / "out" / "_progress").exists()


def write_parts(parts: ResultParts, keys: list[Any], run: str, errors: dict[int, str]) -> None:
    """What a sink writes of rows that come in this order."""
    sink = ParquetSink(parts.filesystem, parts.folder, run, {"vilt.model": "m"}, 100, 5, keep_row_keys=True)
    for i, some in enumerate(keys):
        written = sink.write([results(some, 1, errors)], TaskContext(task_idx=i, op_name="write"))
        assert written
        parts.parts.append(written)


def test_a_row_that_is_missing_or_twice_is_noticed(tmp_path: Path) -> None:
    rows = [{"image": b"x", "caption": f"{i}", "id": i} for i in range(30)]
    table = open_files(InputConfig(path=str(write_input(tmp_path, rows))), StorageConfig())
    output = OutputFolder(LocalFileSystem(), f"{tmp_path}/out", {"config": "c"})
    with output:
        output.begin(overwrite=False)
        parts = ResultParts(output, in_input_order=True)
        parts.load()
        write_parts(parts, [row_key(0) + np.arange(16), row_key(2) + np.arange(13)], "RUN", {})
        with pytest.raises(RowsLostError, match=r"year=2025/part-0\.parquet: 17 rows in, 16 rows out: nothing was pub"):
            parts.put_in_input_order(table)


@pytest.mark.usefixtures("ray_cluster")
def test_the_rows_have_the_order_and_the_files_of_the_input(
    tmp_path: Path, scene_rows: Callable[[int], Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scene_rows(30)
    rows[20]["image"] = b"x"
    table, out = write_input(tmp_path, rows), tmp_path / "out"
    job = config(str(table), str(out))
    # Stopped while the files are written: nothing is published, and no row is read again.
    write = input_order.write_in_input_order
    monkeypatch.setattr(input_order, "write_in_input_order", lambda *a: (write(*a), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run(job)
    assert not list(out.glob("year*"))
    monkeypatch.undo()
    summary = run(job)
    assert (summary.resumed_rows, summary.rows_out, summary.files) == (30, 30, NAMES)
    assert summary.rejected == {"image_unsupported": 1}
    for name in NAMES:
        before = pq.ParquetFile(table / name).read().drop_columns(["image"])
        after = pq.ParquetFile(out / name).read()
        assert after.select(before.column_names).equals(before)
        assert after.column_names[len(before.column_names) :] == [
            "row_id",
            "text_truncated",
            "score",
            "error",
            "error_detail",
        ]
    found = duckdb.sql(f"SELECT count(score), count(error), min(year) FROM '{out}/**/*.parquet'").fetchall()
    assert found == [(29, 1, 2025)], "the folders name the column, as in the input"
    assert run(job).finished_before
    results = open_results(str(out), "OUT", StorageConfig())
    assert sum(rows.num_rows for rows in results.read(["row_id"], 100)) == 30
    assert sum(part.micro_batches for part in results.written) == summary.micro_batches > 0
    assert sum(rows for part in results.written for _, rows in part.timeline) == 30
    keep = {"input": {"path": str(table)}, "scores": str(out), "keep": {"top": 0.5}}
    assert (
        filter_table(FilterConfig.checked({**keep, "output": {"path": f"{tmp_path}/kept", "report": False}})).kept == 15
    )
    with pytest.raises(ConfigError, match=r"output\.join: false, but the results in .* were made with true"):
        run(config(str(table), str(out), join=False))


@pytest.mark.usefixtures("ray_cluster")
def test_rows_that_are_tried_again_take_their_place_on_s3(s3_server: str, scene_rows: Callable[[int], Rows]) -> None:
    assert s3_server
    s3, rows = s3fs.S3FileSystem(), scene_rows(20)
    s3.mkdir("joined")
    pictures = {f"joined/table/{row['id']}.img": row["image"] for row in rows}
    for row in rows:
        row["image"] = f"{row['id']}.img"
    missing = f"joined/table/{rows[3]['id']}.img"
    for path, data in pictures.items():
        if path != missing:
            s3.pipe_file(path, data)
    for i in range(2):
        pq.write_table(pa.Table.from_pylist(rows[10 * i : 10 * i + 10]), f"joined/table/{i}.parquet", filesystem=s3)
    job = config("s3://joined/table/", "s3://joined/out/")
    assert run(job).rejected == {"image_missing": 1}
    s3.invalidate_cache()
    before = {info["Key"]: info["ETag"] for info in s3.ls("joined/out", detail=True) if "ETag" in info}
    s3.pipe_file(missing, pictures[missing])
    summary = run(job, retry_errors=True)
    assert (summary.rejected, summary.resumed_rows, summary.files) == ({}, 19, ["0.parquet", "1.parquet"])
    s3.invalidate_cache()
    for i in range(2):
        after = pq.read_table(f"joined/out/{i}.parquet", filesystem=s3).to_pylist()
        assert [row["id"] for row in after] == [row["id"] for row in rows[10 * i : 10 * i + 10]]
        assert all(row["score"] is not None and row["error"] is None for row in after)
    later = {info["Key"]: info["ETag"] for info in s3.ls("joined/out", detail=True) if "ETag" in info}
    assert later["joined/out/1.parquet"] == before["joined/out/1.parquet"], "a file without such rows stays"
    assert json.loads(s3.cat_file("joined/out/_summary.json"))["scored"] == 20


def test_lists_of_texts_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"], "caption": [["a", "b"]]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"output\.join: column 'caption' holds lists, and each text is a row"):
        run(config(f"{tmp_path}/a.parquet", f"{tmp_path}/out"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"format": "delta"}, r"output\.join: is for output\.format=parquet"),
        ({"file_bytes": 5}, r"output\.file_bytes: with output\.join there is one file for each of the input"),
        (
            {"join": False, "format": "webdataset", "file_bytes": 5},
            r"output\.file_bytes: is for output\.format=parquet",
        ),
    ],
)
def test_outputs_that_do_not_fit_together(output: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config("in", "out", **output)
