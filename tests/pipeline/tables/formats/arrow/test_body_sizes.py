"""Arrow files whose buffers unpack to far more than they have: refused before pyarrow allocates them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.tables.formats.arrow.body_sizes import check_bodies
from pipeline.tables.reading import read_columns
from pipeline.tables.table import open_files

MIB = 2**20


def written(table: pa.Table, compression: str | None, indexed: bool) -> bytes:
    sink, options = pa.BufferOutputStream(), pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if indexed else pa.ipc.new_stream
    with make(sink, table.schema, options=options) as writer:
        writer.write_table(table, 500)
    data: bytes = sink.getvalue().to_pybytes()
    return data


HONEST = pa.table(
    {
        "text": [f"a text {i}" * (i % 5) for i in range(1200)],
        "same": pa.array(["a", "b", None] * 400).dictionary_encode(),
        "deep": [[{"x": i}] * (i % 3) for i in range(1200)],
        "null": pa.nulls(1200),
    }
)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_honest_files(tmp_path: Path, compression: str | None, indexed: bool) -> None:
    data = written(HONEST, compression, indexed)
    check_bodies(io.BytesIO(data), indexed)
    (tmp_path / "a.arrow").write_bytes(data)
    table = open_files(InputConfig(path=str(tmp_path / "a.arrow")), StorageConfig())
    assert sum(rows.num_rows for rows in read_columns(table, ["text"], 100)) == 1200
    for end in range(0, len(data), 97):
        check_bodies(io.BytesIO(data[:end]), indexed)  # what is cut off pyarrow names


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("dictionary", [True, False])
def test_bombs(tmp_path: Path, indexed: bool, dictionary: bool) -> None:
    column = pa.array(["x" * (80 * MIB)])
    path = tmp_path / "a.arrow"
    path.write_bytes(written(pa.table({"text": column.dictionary_encode() if dictionary else column}), "zstd", indexed))
    assert path.stat().st_size < 50_000
    with pytest.raises(ConfigError, match=r"a buffer of [\d,]+ bytes says that it unpacks to 83,886,080"):
        open_files(InputConfig(path=str(path)), StorageConfig())


@pytest.mark.parametrize("indexed", [True, False])
def test_lengths_that_lie(indexed: bool) -> None:
    data = written(pa.table({"text": ["x" * 1000] * 100}), "zstd", indexed)
    at = data.index(b"\x28\xb5\x2f\xfd")
    for length in (2**31, 2**62):
        lying = data[: at - 8] + struct.pack("<q", length) + data[at:]
        with pytest.raises(ValueError, match=f"unpacks to {length:,}"):
            check_bodies(io.BytesIO(lying), indexed)
