"""Small part files become few large ones, with all rows, counts and lineage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from ray.data._internal.execution.interfaces import TaskContext

from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import row_key
from pipeline.results import joined_files
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.joined_files import join_small_files
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.work_folder import WorkFolder
from tests.pipeline.results.test_result_parts import results

FILES, FILE_ROWS = 12, 100


def write_parts(folder: Path, run: str, begin: int = 0, files: int = FILES, texts: int = 1) -> list[ResultFile]:
    sink = ParquetSink(LocalFileSystem(), str(folder), run, {"vilt.model": run}, 100, FILE_ROWS)
    parts = []
    for i in range(files):
        keys = row_key(0, begin + FILE_ROWS * i) + np.arange(FILE_ROWS)
        errors = {int(keys[3]): "image_null", int(keys[4]): "fetch_timeout"}
        written = sink.write([results(keys, texts, errors)], TaskContext(task_idx=i, op_name="write"))
        assert written
        parts.append(written)
    return parts


def test_small_files_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    parts, folder = write_parts(tmp_path, "RUN"), WorkFolder(LocalFileSystem(), str(tmp_path))
    (joined,) = join_small_files(folder, parts, 2**26)
    rows = pq.read_table(tmp_path / joined.name)
    assert rows["row"].to_pylist() == [row_key(0, row) for row in range(FILES * FILE_ROWS)]
    assert len(list(tmp_path.glob("part-*"))) == FILES, "a stop before the end resumes from the parts"
    metadata = pq.read_metadata(tmp_path / joined.name)
    assert metadata.num_row_groups == 1
    assert metadata.metadata[b"vilt.model"] == b"RUN"
    found, total = ResultFile.from_json(metadata.metadata[FOOTER.encode()]), ResultFile.total(parts)
    assert found.complete == joined.complete
    assert (len(found.complete), len(found.retryable), found.split) == (FILES * FILE_ROWS, FILES, {})
    names = ("rows", "errors", "tokens", "pairs", "micro_batches", "devices", "capacity", "model_seconds")
    assert [getattr(found, name) for name in names] == [getattr(total, name) for name in names]
    assert found.timeline == sorted((part.at, FILE_ROWS) for part in parts)
    assert found.at == max(part.at for part in parts)


def test_files_are_about_as_large_as_asked(tmp_path: Path) -> None:
    parts, folder = write_parts(tmp_path, "RUN"), WorkFolder(LocalFileSystem(), str(tmp_path))
    size = max(folder.sizes()[part.name] for part in parts)
    for least in (1.5, 2.5, 3.5, 4.5, 5.5, 7, 11.5):
        joined = join_small_files(folder, parts, int(least * size))
        assert len(joined) == FILES // math.ceil(least), "the last files go to those before them"
        tables = [pq.read_table(tmp_path / part.name) for part in joined]
        rows = pa.concat_tables(tables)["row"].to_pylist()
        assert rows == [row_key(0, row) for row in range(FILES * FILE_ROWS)], "each row, once"
        assert [table.num_rows for table in tables] == [part.rows for part in joined]
    assert join_small_files(folder, parts, 1) == parts, "files that are large enough stay"


def test_rows_that_joining_would_lose_stop_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, folder = write_parts(tmp_path, "RUN", files=4), WorkFolder(LocalFileSystem(), str(tmp_path))
    monkeypatch.setattr(joined_files, "_groups", lambda files, *_: [files[2:], files[2:]])
    with pytest.raises(RowsLostError, match="joining small files of results lost rows"):
        join_small_files(folder, parts, 2**26)


def test_runs_are_not_mixed_since_their_footers_differ(tmp_path: Path) -> None:
    parts = [*write_parts(tmp_path, "FIRST"), *write_parts(tmp_path, "SECOND", FILES * FILE_ROWS)]
    joined = join_small_files(WorkFolder(LocalFileSystem(), str(tmp_path)), parts, 2**26)
    models = [pq.read_metadata(tmp_path / part.name).metadata[b"vilt.model"] for part in joined]
    assert models == [b"FIRST", b"SECOND"]


def test_rows_split_between_files_are_whole_in_the_joined_one(tmp_path: Path) -> None:
    sink = ParquetSink(LocalFileSystem(), str(tmp_path), "RUN", {}, 100, FILE_ROWS)
    block = results(np.array([1, 2]), texts=2)
    halves = [pa.concat_tables([block.slice(0, 3)]), block.slice(3)]
    parts = [sink.write([half], TaskContext(task_idx=i, op_name="write")) for i, half in enumerate(halves)]
    assert [len(part.split) for part in parts if part] == [1, 1]
    (joined,) = join_small_files(WorkFolder(LocalFileSystem(), str(tmp_path)), [p for p in parts if p], 2**26)
    assert (joined.split, joined.complete.keys().tolist(), joined.rows) == ({}, [1, 2], 4)
