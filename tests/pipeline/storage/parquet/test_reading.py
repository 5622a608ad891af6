"""Parquet files of results, lists and logs whose pages unpack to far more than they have: none is decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.parquet_columns import read_columns as read_columns_of_results
from pipeline.filtering.sql import columns_read
from pipeline.reindexing.data_files import read_data_files
from pipeline.reindexing.input_snapshot import InputSnapshot
from pipeline.reindexing.retries import FailedRows
from pipeline.results.reader import open_results
from pipeline.results.result_table import result_files
from pipeline.results.work_folder import read_part
from pipeline.storage.parquet import reading
from pipeline.storage.parquet.reading import check_pages, guarded_batches, guarded_table
from pipeline.tables.manifest import MANIFEST, Manifest
from pipeline.tables.reading import read_columns

LOCAL, FILES = pyarrow.fs.LocalFileSystem(), fsspec.filesystem("file")
MIB = 2**20


def write_bomb(path: Path, column: str = "row_id", **others: pa.Array) -> Path:
    """Write a file of two rows in some kilobytes, a column of which has a page of 80 MiB."""
    table = pa.table({column: ["x" * (80 * MIB), "y"], **others})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    return path


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bomb(
        tmp_path_factory.mktemp("bomb") / "part-0.parquet",
        score=pa.array([0.5, 0.6], pa.float32()),
        error=pa.nulls(2, pa.string()),
        file=pa.array(["x" * (80 * MIB), "y"]),
        version=pa.nulls(2, pa.string()),
        rows=pa.nulls(2, pa.int64()),
        columns=pa.nulls(2, pa.binary()),
    )


READERS: dict[str, Callable[[Path], Any]] = {
    "filter": lambda bomb: list(open_results(str(bomb.parent), "scores", StorageConfig()).read(["row_id"], 100)),
    "show, report": lambda bomb: list(read_columns(result_files(str(bomb.parent), StorageConfig()), ["row_id"], 100)),
    "evaluate": lambda bomb: list(read_columns_of_results(str(bomb), "OUT", ["row_id"], StorageConfig())),
    "a part of a job": lambda bomb: read_part(FILES, str(bomb)),
    "a snapshot": lambda bomb: InputSnapshot.read(FILES, str(bomb)),
    "a list of files": lambda bomb: read_data_files(FILES, str(bomb)),
    "a list of rows": lambda bomb: FailedRows.read(FILES, str(bomb)),
    "batches": lambda bomb: list(guarded_batches(str(bomb), LOCAL, ["row_id"])),
    "pages": lambda bomb: check_pages(str(bomb), LOCAL, "OUT"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_bomb_is_not_decoded(bomb: Path, name: str) -> None:
    assert bomb.stat().st_size < 50_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(
        ConfigError, match=r"lies about its size, or is damaged: column '(row_id|file)' has a page of"
    ) as caught:
        READERS[name](bomb)
    assert "\n" not in str(caught.value)
    assert pa.default_memory_pool().max_memory() <= max(before, pa.default_memory_pool().bytes_allocated() + 8 * MIB)


def test_other_columns_are_read(bomb: Path) -> None:
    assert guarded_table(str(bomb), LOCAL, ["score"]).num_rows == 2
    results = open_results(str(bomb.parent), "scores", StorageConfig())
    assert [rows.num_rows for rows in results.read(["score", "error"], 1)] == [1, 1]


def test_a_manifest_that_lies_is_none(tmp_path: Path) -> None:
    manifest = Manifest(str(tmp_path), StorageConfig())
    manifest.write("key", pa.table({"a": [1]}))
    assert manifest.read("key", lambda table: table["a"].to_pylist()) == [1]
    path = write_bomb(tmp_path / MANIFEST)
    values = pq.read_table(path).replace_schema_metadata({"vilt.key": manifest._stored("key")})
    pq.write_table(values, path, compression="zstd", use_dictionary=False, write_statistics=False)
    assert manifest.read("key", lambda table: table.num_rows) is None


def test_rows_that_unfold_are_not_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "part.parquet")
    pq.write_table(pa.table({"row_id": ["x" * MIB] * 64}), path)
    monkeypatch.setattr(reading, "READ_BYTES", 8 * MIB)
    rows = [batch.num_rows for batch in guarded_batches(path, LOCAL)]
    assert sum(rows) == 64
    assert max(rows) <= 8
    assert guarded_table(path, LOCAL).num_rows == 64
    monkeypatch.setattr(reading, "UNFOLDED_BYTES", 2**20)
    monkeypatch.setattr(reading, "MOST_UNFOLDED", 10)
    with pytest.raises(ConfigError, match=r"part.parquet' unfolds to more than [\d,]+ bytes in memory: it is not read"):
        guarded_table(path, LOCAL)


def test_numbers_in_a_dictionary_are_read_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "part.parquet")
    pq.write_table(pa.table({"n": list(range(10_000)) * 2}), path)
    monkeypatch.setattr(reading, "READ_BYTES", MIB)
    assert [batch.num_rows for batch in guarded_batches(path, LOCAL)] == [20_000]


def test_tables_are_read_as_pyarrow_reads_them(tmp_path: Path) -> None:
    path = str(tmp_path / "part.parquet")
    kinds = {"a": [1, None], "b": [["x"], []], "c": [{"d": 1.5}, None], "e": pa.array(["p", "q"]).dictionary_encode()}
    table = pa.table(kinds).replace_schema_metadata({"vilt.task": "score"})
    pq.write_table(table, path, row_group_size=1)
    assert guarded_table(path, LOCAL).equals(pq.read_table(path), check_metadata=True)
    assert guarded_table(path, LOCAL, ["c", "a"], [1]).equals(pq.read_table(path, columns=["c", "a"]).slice(1))
    assert [one.schema.names for one in guarded_batches(path, LOCAL, ["c", "z"], lenient=True)] == [["c"], ["c"]]
    with pytest.raises(pa.ArrowInvalid, match="no column 'z'"):
        guarded_table(path, LOCAL, ["z"])


def test_a_query_reads_the_columns_that_it_needs() -> None:
    kinds = [("a.b", pa.int64()), ("a", pa.struct([("b", pa.int64())])), ('q"q', pa.string()), ("c1_", pa.int64())]
    schema = pa.schema(kinds)
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in schema.names)
    with duckdb.connect() as database:
        for query, read in (
            ("a.b + 1", ["a"]),
            ('"a.b"', ["a.b"]),
            ('"q""q"', ['q"q']),
            ("c1_ > 2", ["c1_"]),
            ("COLUMNS(*)", schema.names),
            ("named", schema.names),
        ):
            found = columns_read(database, lambda table, q=query: f"SELECT {q} FROM {table} AS named({names})", schema)
            assert found == read, query
