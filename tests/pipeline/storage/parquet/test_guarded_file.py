"""Parquet files whose pages lie about their sizes, made byte by byte: none is decoded, and honest ones are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline.common.errors import ConfigError
from pipeline.storage.parquet import guarded_file
from pipeline.storage.parquet.page_headers import read_header
from pipeline.tables.formats.parquet import format as parquet
from pipeline.tables.formats.parquet.format import ParquetReader
from pipeline.tables.formats.parquet.partitions import Partitions
from pipeline.tables.formats.parquet.stored_rows import stored_parquet
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split
from tests.pipeline.storage.parquet.page_bytes import (
    BROTLI,
    DATA_V2,
    DELTA_BYTE_ARRAY,
    DICTIONARY,
    GZIP,
    RLE_DICTIONARY,
    SNAPPY,
    UNCOMPRESSED,
    ZSTD,
    Long,
    Page,
    parquet_file,
    plain,
    struct,
    varint,
)

MIB = 2**20
BIG, SMALL = plain(b"x" * (80 * MIB)), plain(b"abc")


def packed(codec: str, data: bytes) -> bytes:
    stored: bytes = pa.Codec(codec).compress(data, asbytes=True)
    return stored


def delta(values: list[int]) -> bytes:
    """Return int32 values as DELTA_BINARY_PACKED has them."""
    out = varint(128) + varint(4) + varint(len(values)) + varint(values[0] << 1)
    steps = list(np.diff(values).tolist())
    for first in range(0, len(steps), 128):
        block = steps[first : first + 128]
        least = min(block)
        rest = [step - least for step in block] + [0] * (128 - len(block))
        minis = [rest[i : i + 32] for i in range(0, 128, 32)]
        widths = [max(mini).bit_length() for mini in minis]
        out += varint((least << 1) ^ (least >> 63)) + bytes(widths)
        for mini, width in zip(minis, widths, strict=True):
            out += sum(step << (i * width) for i, step in enumerate(mini)).to_bytes(4 * width, "little")
    return out


def prefixed(length: int, rows: int) -> bytes:
    """Return a page of DELTA_BYTE_ARRAY: a value, and then rows that are the same, of a few bits each."""
    return delta([0] + [length] * (rows - 1)) + delta([length] + [0] * (rows - 1)) + b"x" * length


INDICES = b"\x01" + varint(2 << 1) + b"\0"
LIES = {
    "a page of zeros, zstd": ([Page(packed("zstd", BIG), len(BIG), 1)], ZSTD, "says it unpacks to"),
    "a size, gzip": ([Page(packed("gzip", SMALL), len(BIG), 1)], GZIP, "says it unpacks to"),
    "a size, brotli": ([Page(packed("brotli", SMALL), len(BIG), 1)], BROTLI, "says it unpacks to"),
    "version 2": ([Page(packed("zstd", SMALL), len(BIG), 1, DATA_V2)], ZSTD, "says it unpacks to"),
    "a size": ([Page(packed("snappy", plain(b"abc")), 2**31 - 1, 1)], SNAPPY, "says it unpacks to 2,147,483,647"),
    "the second page": (
        [Page(packed("zstd", SMALL), 7, 1), Page(packed("zstd", SMALL), len(BIG), 1)],
        ZSTD,
        "says it unpacks to",
    ),
    "a dictionary": (
        [
            Page(packed("zstd", SMALL), len(BIG), 1, DICTIONARY),
            Page(packed("zstd", INDICES), 3, 2, encoding=RLE_DICTIONARY),
        ],
        ZSTD,
        "says it unpacks to",
    ),
    "a dictionary of 32 GiB": (
        [Page(plain(b"abc"), 7, 2**31 - 1, DICTIONARY), Page(INDICES, 3, 2, encoding=RLE_DICTIONARY)],
        UNCOMPRESSED,
        "a dictionary of 7 bytes that says it holds 2,147,483,647 values",
    ),
    "less than nothing": ([Page(plain(b"abc"), -7, 1)], UNCOMPRESSED, "a page without a type and sizes"),
    "less than no value": ([Page(plain(b"abc"), 7, -1)], UNCOMPRESSED, "a page with less than no value"),
}


def reader_of() -> ParquetReader:
    return ParquetReader(pyarrow.fs.LocalFileSystem(), Partitions(pa.schema([])), "ns")


def batches(path: Path, rows: int = 2, size: int = 100) -> Iterator[pa.Table]:
    schema = pa.schema([("caption", pa.string())])
    return reader_of().read(InputFile(str(path), "t.parquet", 0, ""), Split(0, rows, rows, size), schema, 512)


@pytest.mark.parametrize("size", [100, 2**30], ids=["fetched at once", "checked as it is read"])
@pytest.mark.parametrize("name", LIES)
def test_a_page_that_lies_is_not_decoded(tmp_path: Path, name: str, size: int) -> None:
    pages, codec, message = LIES[name]
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_file(pages, 2, codec))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(ConfigError) as caught:
        list(batches(path, size=size))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"input.path: {str(path)!r} ")
    assert "column 'caption' has " in str(caught.value)
    assert pa.default_memory_pool().max_memory() - before < MIB
    with stored_parquet(str(path), pyarrow.fs.LocalFileSystem()) as stored:  # as `vilt filter` copies it
        [(_, _, read)] = stored.ranges
        with pytest.raises(ConfigError, match="column 'caption' has "):
            list(read())


def test_many_pages_of_which_the_footer_knows_nothing(tmp_path: Path) -> None:
    """100 rows of 16 MiB in 200 kB: each page may be decoded, and a few rows are read at a time."""
    value = plain(b"x" * (16 * MIB - 4))
    page = Page(packed("zstd", value), len(value), 1)
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_file([page] * 40, 40, ZSTD))
    assert path.stat().st_size < 200_000
    sizes = []
    for table in batches(path, 40):
        sizes.append(table.nbytes)
        if len(sizes) == 2:
            break
    assert max(sizes) <= parquet.BATCH_BYTES
    with pytest.raises(ConfigError, match=r"has [\d,]+ bytes as the footer says, but pages that say they unpack to"):
        list(batches(path, 40, size=2**30))


def test_a_value_that_others_begin_with(tmp_path: Path) -> None:
    """512 rows of 8 MiB in a few hundred bytes, as no dictionary has them."""
    body = prefixed(8 * MIB, 512)
    path = tmp_path / "t.parquet"
    page = Page(packed("zstd", body), len(body), 512, encoding=DELTA_BYTE_ARRAY)
    path.write_bytes(parquet_file([page], 512, ZSTD, encodings=[DELTA_BYTE_ARRAY]))
    first = next(batches(path, 512))
    assert 8 * MIB < first.nbytes <= parquet.BATCH_BYTES
    first = next(batches(path, 512, size=2**30))
    assert 8 * MIB < first.nbytes <= parquet.BATCH_BYTES, "its header is read first"
    path.write_bytes(parquet_file([Page(packed("zstd", SMALL), 7, 1), page], 513, ZSTD, encodings=[DELTA_BYTE_ARRAY]))
    assert 8 * MIB < next(batches(path, 513)).nbytes <= parquet.BATCH_BYTES
    with pytest.raises(ConfigError, match="bytes that each of 512 rows may repeat"):
        next(batches(path, 513, size=2**30))


def test_footers_that_point_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_file([Page(plain(b"ab", b"c"), 11, 2)], 2, UNCOMPRESSED, stored=2**40))
    with pytest.raises(ConfigError, match="is cut off, or its footer is wrong: it has"):
        list(batches(path))


def test_damaged_headers(tmp_path: Path) -> None:
    data = parquet_file([Page(plain(b"ab", b"c"), 11, 2)], 2, UNCOMPRESSED)
    path = tmp_path / "t.parquet"
    path.write_bytes(data)
    assert pa.concat_tables(batches(path))["caption"].to_pylist() == ["ab", "c"]
    for damage in (b"\x15\x00" * 8, b"\xff" * 16, b"\x1c" * 16, b"\x19\xf5\xff\xff\xff\xff\x0f" + b"\x01" * 9):
        path.write_bytes(data[:4] + damage + data[4 + len(damage) :])
        with pytest.raises(ConfigError, match="column 'caption' has"):
            list(batches(path))


def test_headers_with_everything_in_them() -> None:
    more = {
        4: -1,
        5: {1: 9, 2: 8, 3: 3, 4: 3, 5: {1: b"min", 2: b"max" * 1000, 3: Long(-5), 7: True, 8: False}},
        9: [1, 2],
    }
    more[10] = [{1: b"x"}] * 20  # type: ignore[assignment]
    header = struct({1: 0, 2: 100, 3: 50, **more})
    found = read_header(memoryview(header + b"page"))
    assert found == (0, 100, 50, 9, 8, len(header))
    for end in range(len(header)):
        with pytest.raises(IndexError):
            read_header(memoryview(header[:end]))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "lz4", "gzip", "brotli"])
def test_honest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, codec: str) -> None:
    """Pages of every kind, of several columns and row groups, nested and empty ones, fetched at once and not."""
    monkeypatch.setattr(guarded_file, "HEADER_BYTES", 16)  # all headers are longer
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "caption": [f"a text {i} of some length" * (i % 7) for i in range(2000)],
            "n": rng.integers(0, 2**40, 2000),
            "delta": [f"prefix {i}" for i in range(2000)],
            "same": pa.array(["a", "b", None, ""] * 500).dictionary_encode(),
            "list": [[{"x": i, "y": b"z" * i}] * (i % 3) for i in range(2000)],
            "null": pa.nulls(2000, pa.int32()),
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(
        table,
        path,
        compression=codec,
        data_page_version=version,
        data_page_size=4096,
        row_group_size=700,
        use_dictionary=["same"],
        column_encoding={"delta": "DELTA_BYTE_ARRAY"},
        store_schema=False,
    )
    expected = pq.read_table(path)
    file = InputFile(str(path), "t.parquet", 0, "")
    for size in (100, 2**30):
        found = []
        for group, first in enumerate(range(0, 2000, 700)):
            count = min(700, 2000 - first)
            found += reader_of().read(file, Split(first, count, count, size, group), expected.schema, 512)
        assert pa.concat_tables(found).equals(expected)
