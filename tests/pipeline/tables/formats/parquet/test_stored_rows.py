"""Rows of a Parquet file as it stores them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.tables.formats.parquet import stored_rows as module
from pipeline.tables.formats.parquet.stored_rows import stored_parquet

LOCAL = pyarrow.fs.LocalFileSystem()
FAR = 253402300799  # the last second of 9999


@pytest.mark.parametrize("read_bytes", [1, 100, 2**24])
def test_row_groups_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int) -> None:
    monkeypatch.setattr(module, "READ_BYTES", read_bytes)
    table = pa.table({"n": range(23), "t": [f"text {i}" for i in range(23)]}).replace_schema_metadata({"by": "me"})
    pq.write_table(table, tmp_path / "a", row_group_size=10, compression="gzip")
    with stored_parquet(str(tmp_path / "a"), LOCAL) as stored:
        assert stored.schema.equals(table.schema, check_metadata=True)
        assert (stored.compression, stored.int96) == ("GZIP", False)
        ranges = [(first, rows, [*read()]) for first, rows, read in stored.ranges]
    assert [(first, rows) for first, rows, _ in ranges] == [(0, 10), (10, 10), (20, 3)]
    for first, rows, tables in ranges:
        assert pa.concat_tables(tables)["n"].to_pylist() == list(range(first, first + rows))
        assert len(tables) > 1 or read_bytes > 100 or rows == 1


def test_each_columns_compression(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "b": [{"c": 1, "d": 2}]})
    pq.write_table(table, tmp_path / "a", compression={"a": "zstd", "b.c": "none", "b.d": "snappy"})
    with stored_parquet(str(tmp_path / "a"), LOCAL) as stored:
        assert stored.compression == {"a": "ZSTD", "b.c": "NONE", "b.d": "SNAPPY"}
        pq.write_table(table, tmp_path / "b", compression=stored.compression)
    pq.write_table(table.slice(0, 0), tmp_path / "none", compression="none")
    with stored_parquet(str(tmp_path / "none"), LOCAL) as stored:
        assert stored.compression in ("snappy", "NONE")
        assert sum(rows for _, rows, _ in stored.ranges) == 0


def test_int96_times(tmp_path: Path) -> None:
    times = pa.array([0, FAR, None], pa.timestamp("s"))
    pq.write_table(pa.table({"t": times}), tmp_path / "a", use_deprecated_int96_timestamps=True)
    with stored_parquet(str(tmp_path / "a"), LOCAL) as stored:
        assert stored.int96
        [(_, _, read)] = stored.ranges
        [table] = read()
    assert table["t"].cast(pa.timestamp("s")).to_pylist() == times.to_pylist()
    near = pa.table({"t": pa.array([1000], pa.timestamp("ns"))})
    pq.write_table(near, tmp_path / "b", use_deprecated_int96_timestamps=True)
    with stored_parquet(str(tmp_path / "b"), LOCAL) as stored:
        assert stored.schema.field("t").type == pa.timestamp("ns")


def test_times_that_cannot_be_copied(tmp_path: Path) -> None:
    """One file, two row groups: one far beyond nanoseconds, one of single nanoseconds."""
    with pq.ParquetWriter(
        tmp_path / "a",
        pa.schema([("s", pa.timestamp("s")), ("n", pa.timestamp("ns"))]),
        use_deprecated_int96_timestamps=True,
    ) as writer:
        writer.write_table(pa.table({"s": pa.array([FAR], pa.timestamp("s")), "n": pa.array([1], pa.timestamp("ns"))}))
    with (
        pytest.raises(ConfigError, match=r"^input\.path: '.*a' holds INT96 times in s, n that are read right as nano"),
        stored_parquet(str(tmp_path / "a"), LOCAL),
    ):
        pass
