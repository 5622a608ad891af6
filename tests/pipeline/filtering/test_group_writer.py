"""Small tables are put together to row groups of a good size."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.filtering import group_writer
from pipeline.filtering.group_writer import GroupWriter

LOCAL = pyarrow.fs.LocalFileSystem()
SCHEMA = pa.schema([("n", pa.int64())])


def written(path: Path, sizes: list[int]) -> pq.ParquetFile:
    first = 0
    with GroupWriter(LOCAL, str(path), SCHEMA) as writer:
        for size in sizes:
            writer.write(pa.table({"n": range(first, first + size)}, SCHEMA))
            first += size
    return pq.ParquetFile(path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9)))
def test_every_row_in_order_in_groups(tmp_path: Path, sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_writer, "GROUP_ROWS", 5)
        file = written(tmp_path / "a", sizes)
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert file.read()["n"].to_pylist() == list(range(sum(sizes)))
    assert all(rows > 5 for rows in groups[:-1])
    assert all(rows <= 5 + 9 for rows in groups)


def test_groups_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_writer, "GROUP_BYTES", 100)
    assert written(tmp_path / "a", [10] * 4).num_row_groups == 2


def test_a_file_without_rows_has_its_schema(tmp_path: Path) -> None:
    file = written(tmp_path / "a", [])
    assert (file.metadata.num_rows, file.schema_arrow) == (0, SCHEMA)


def test_what_waits_is_not_written_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), GroupWriter(LOCAL, str(tmp_path / "a"), SCHEMA) as writer:  # noqa: PT012
        writer.write(pa.table({"n": [1]}, SCHEMA))
        raise KeyError
    assert pq.read_metadata(tmp_path / "a").num_rows == 0


def test_int96_times(tmp_path: Path) -> None:
    schema = pa.schema([("t", pa.timestamp("us"))])
    with GroupWriter(LOCAL, str(tmp_path / "a"), schema, {"t": "gzip"}, int96=True) as writer:
        writer.write(pa.table({"t": [0]}, schema))
    column = pq.read_metadata(tmp_path / "a").row_group(0).column(0)
    assert (column.physical_type, column.compression) == ("INT96", "GZIP")
