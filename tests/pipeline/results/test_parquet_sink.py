"""What a write task writes: one file, whole, with its footer, without the hidden columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from ray.data._internal.execution.interfaces import TaskContext

from pipeline.common.row_ranges import RowSet
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.parquet_sink import BYTES_PER_FILE_WITH_IMAGES, ParquetSink
from pipeline.stages.batch_stats import BatchStats

STATS = BatchStats(pairs=2, tokens=20, seconds=0.5, precision="float32", device="cpu")


def block(*keys: int) -> pa.Table:
    columns = {"__row_key": pa.array(keys, pa.int64()), "__texts": pa.array([1] * len(keys), pa.int32())}
    rows = pa.table({"id": [10 * key for key in keys], **columns, "error": pa.nulls(len(keys), pa.string())})
    return STATS.attach(rows) if keys else rows.append_column("__stats", pa.nulls(0, pa.int64()))


def sink(folder: Path, rows_per_file: int | None = 5, types: dict[str, pa.DataType] | None = None) -> ParquetSink:
    return ParquetSink(LocalFileSystem(), str(folder), "RUN", {"vilt.model": "m"}, 100, rows_per_file, types)


def test_a_task_writes_one_file(tmp_path: Path) -> None:
    written = sink(tmp_path).write([block(1, 2), block(), block(4)], TaskContext(task_idx=7, op_name="write"))
    assert written is not None
    assert written.name == "part-RUN-000007.parquet"
    assert [path.name for path in tmp_path.iterdir()] == [written.name]
    table = pq.read_table(tmp_path / written.name)
    assert table.drop_columns("error").to_pylist() == [{"id": 10}, {"id": 20}, {"id": 40}]
    metadata = pq.read_metadata(tmp_path / written.name).metadata
    assert metadata[b"vilt.model"] == b"m"
    assert metadata[b"vilt.precision"] == b"float32 on cpu"
    footer = ResultFile.from_json(metadata[FOOTER.encode()])
    assert vars(footer) == vars(written)
    assert footer.complete == RowSet.union([RowSet.of_range(1, 3), RowSet.of_range(4, 5)])
    assert (footer.rows, footer.pairs) == (3, 4)


def test_a_task_that_is_retried_writes_the_same_file(tmp_path: Path) -> None:
    for keys in ((1, 2), (1, 2, 3)):
        sink(tmp_path).write([block(*keys)], TaskContext(task_idx=0, op_name="write"))
    [path] = tmp_path.iterdir()
    assert pq.read_metadata(path).num_rows == 3


def test_a_task_without_rows_writes_nothing(tmp_path: Path) -> None:
    assert sink(tmp_path).write([block(), block()], TaskContext(task_idx=0, op_name="write")) is None
    assert not list(tmp_path.iterdir())


def test_types_of_a_delta_table(tmp_path: Path) -> None:
    types = {"id": pa.int32(), "error": pa.string()}
    written = sink(tmp_path, types=types).write([block(1)], TaskContext(task_idx=0, op_name="write"))
    assert written is not None
    assert pq.read_schema(tmp_path / written.name).field("id").type == pa.int32()


@pytest.mark.parametrize(("rows_per_file", "waits"), [(5, (5, None)), (None, (None, BYTES_PER_FILE_WITH_IMAGES))])
def test_what_a_task_waits_for(tmp_path: Path, rows_per_file: int | None, waits: tuple[int | None, int | None]) -> None:
    one = sink(tmp_path, rows_per_file)
    assert (one.min_rows_per_write, one.min_bytes_per_write) == waits
