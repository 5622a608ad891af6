"""What a stopped run has written, as the next run finds it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.row_source import FileVersion
from pipeline.results.staging import Staging, renumber
from pipeline.tables.provenance import row_sources

INT64 = pa.int64()
A, B = FileVersion("a", "1 10"), FileVersion("b", "1 10")


def written(name: str, *files: FileVersion, rows: int = 2) -> ResultFile:
    complete = RowSet.union(RowSet.file(number, rows) for number, _ in enumerate(files))
    file_versions = {number: tuple(file) for number, file in enumerate(files)}
    return ResultFile(
        name, complete, rows=rows * len(files), file_versions=file_versions, errors=Counter(image_null=len(files))
    )


def put(folder: Path, part: ResultFile, kind: pa.DataType) -> None:
    files = [file for file in part.file_versions.values() for _ in range(2)]
    numbers = np.tile(np.arange(2), len(part.file_versions))
    source = row_sources([name for name, _ in files], [version for _, version in files], numbers, numbers)
    table = pa.table(
        {"x": pa.array(numbers, kind), "row_source": source, "error": [None, "image_null"] * (len(files) // 2)}
    )
    pq.write_table(table.replace_schema_metadata({FOOTER: part.to_json(), "vilt.model": "m"}), folder / part.name)


def table(*files: FileVersion) -> Any:
    opened = [SimpleNamespace(name=file.name, file=SimpleNamespace(version=file.version)) for file in files]
    return SimpleNamespace(files=opened)


def resumed(folder: Path, files: tuple[FileVersion, ...], kind: pa.DataType = INT64) -> Staging:
    staging = Staging(LocalFileSystem(), str(folder))
    staging.resume(table(*files), {"x": kind})
    return staging


def test_files_take_the_numbers_of_now() -> None:
    part = renumber(written("p", A, B), {B: 0, A: 7})
    assert part.complete == RowSet.union([RowSet.file(0, 2), RowSet.of(np.array([row_key(7), row_key(7, 1)]))])
    assert part.file_versions == {7: tuple(A), 0: tuple(B)}
    assert renumber(written("p", A, B), {B: 3}).complete == RowSet.of(np.array([row_key(3), row_key(3, 1)]))


def test_rows_of_files_that_have_changed_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, written("part-1.parquet", A, B), pa.int64())
    for name in ("rest-000000.parquet", ".part-rest-1.parquet"):
        (tmp_path / name).write_bytes(b"of a run that was killed")
    staging = resumed(tmp_path, (B,))
    [part] = staging.parts
    assert (part.name, part.rows, part.errors) == ("part-rest-1.parquet", 2, Counter(image_null=1))
    assert staging.written == RowSet.file(0, 2)
    staging.audit(2)
    assert [path.name for path in tmp_path.iterdir()] == ["part-rest-1.parquet"]
    assert pq.read_metadata(tmp_path / part.name).metadata[b"vilt.model"] == b"m"
    assert resumed(tmp_path, (B,)).parts[0].complete == part.complete  # once more
    assert resumed(tmp_path, ()).parts == []


def test_columns_take_the_types_of_now(tmp_path: Path) -> None:
    put(tmp_path, written("part-1.parquet", A), pa.int32())
    [part] = resumed(tmp_path, (A,), pa.float64()).parts
    assert pq.read_schema(tmp_path / part.name).field("x").type == pa.float64()
    put(tmp_path, written("part-2.parquet", B), pa.float64())
    assert resumed(tmp_path, (A, B), pa.struct([("y", pa.int8())])).parts == []  # what does not fit is read again


def test_rows_that_are_missing_or_doubled(tmp_path: Path) -> None:
    put(tmp_path, written("part-1.parquet", A), pa.int64())
    staging = resumed(tmp_path, (A, B))
    with pytest.raises(RowsLostError, match="4 rows in, 2 rows out, 0 files"):
        staging.audit(4)
    staging.in_table = RowSet.of(np.array([row_key(1), row_key(1, 1)]))
    staging.audit(4)
    staging.in_table = RowSet.of(np.array([row_key(0), row_key(1), row_key(1, 1)]))
    with pytest.raises(RowsLostError):
        staging.audit(4)
