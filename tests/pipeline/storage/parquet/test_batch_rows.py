"""Rows of a Parquet file are read so many at a time that their bytes are bounded, wherever their values are stored."""

from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline.common.errors import ConfigError
from pipeline.storage.parquet.batch_rows import rows_within
from pipeline.storage.parquet.guarded_file import open_guarded
from pipeline.tables.formats.parquet.format import ParquetReader
from pipeline.tables.formats.parquet.partitions import Partitions
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import config

MIB = 2**20


def rows(path: Path, names: set[str], most_bytes: int) -> int:
    with open_guarded(str(path), pyarrow.fs.LocalFileSystem()) as (opened, guard):
        pages = guard.watch(opened.metadata, 0, names, whole=True)
        found = rows_within(opened.metadata.row_group(0), names, pages, most_bytes, 512)
        first = guard.watch(opened.metadata, 0, names, whole=False)
        assert rows_within(opened.metadata.row_group(0), names, first, most_bytes, 512) >= found
        return found


@pytest.mark.parametrize("compression", ["zstd", "gzip", "snappy", "none"])
def test_a_value_in_a_dictionary_counts_for_each_row(tmp_path: Path, compression: str) -> None:
    """1,000 rows of one 8 MB value: some kilobytes on disk, 8 GB in memory."""
    path = tmp_path / "t.parquet"
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([b"\0" * 8 * MIB]))
    table = pa.table({"blob": values, "n": range(1000)})
    pq.write_table(table, path, compression=compression, dictionary_pagesize_limit=2**30, store_schema=False)
    assert rows(path, {"blob", "n"}, 64 * MIB) in (7, 8)
    assert rows(path, {"blob"}, MIB) == 1
    assert rows(path, {"n"}, 64 * MIB) == 512
    with pq.ParquetFile(path) as opened:
        batch = next(opened.iter_batches(rows(path, {"blob", "n"}, 64 * MIB)))
    assert batch.nbytes <= 65 * MIB


def test_columns_nested_too_deeply_are_left_out(tmp_path: Path) -> None:
    """Parquet holds some 90 levels, but a micro-batch carries 64."""
    kind = pa.int8()
    for _ in range(70):
        kind = pa.struct([("a", kind)])
    table = pa.table({"image": ["a.png"], "text": ["a"], "deep": pa.nulls(1, kind)})
    pq.write_table(table, tmp_path / "t.parquet", store_schema=False)
    with pytest.raises(
        ConfigError, match=r"column 'deep' cannot be read: it has more than 50 lists and structs within"
    ):
        open_table(config(tmp_path))
    assert open_table(config(tmp_path, columns=["text"])).columns.names == ["image", "text"]


def test_honest_files_are_read_in_large_pieces(tmp_path: Path) -> None:
    """pyarrow begins every column with a dictionary, and gives it up after a megabyte."""
    path = tmp_path / "t.parquet"
    texts = [f"a text {i} " * 10 for i in range(4000)]
    images = [bytes([i % 256]) * 4 + bytes(30_000) for i in range(4000)]
    pq.write_table(pa.table({"text": texts, "image": images, "source": ["a", "b"] * 2000}), path, compression="none")
    assert rows(path, {"text", "source"}, 256 * MIB) == 512
    assert rows(path, {"text", "image", "source"}, 256 * MIB) > 20
    with patch("pipeline.tables.formats.parquet.format.BATCH_BYTES", 8 * MIB):
        reader = ParquetReader(pyarrow.fs.LocalFileSystem(), Partitions(pa.schema([])), "ns")
        file = InputFile(str(path), "t.parquet", 0, "")
        schema = pq.read_schema(path).remove_metadata()
        tables = list(reader.read(file, Split(0, 4000, 4000, 0), schema, 512))
    assert pa.concat_tables(tables).equals(pq.read_table(path))
    assert all(100 < table.num_rows <= 512 and table.nbytes <= 8 * MIB for table in tables[:-1])
