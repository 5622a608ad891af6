"""Targets of formats that libraries read, and of what jobs write: Arrow, Delta, Lance, vectors, footers."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.targets import ROWS, TARGETS, Target, work_folder


def _read_all(path: Path, name: str = "read") -> str:
    """Read a table to its end."""
    from pipeline.common.errors import ConfigError
    from pipeline.config.input import InputConfig
    from pipeline.config.storage import StorageConfig
    from pipeline.tables.reading import read_columns
    from pipeline.tables.table import open_files

    try:
        table = open_files(InputConfig(path=str(path)), StorageConfig())
        rows = sum(part.num_rows for part in read_columns(table, table.schema.names, 100))
    except ConfigError as error:
        assert "\n" not in str(error)
        return "refused"
    assert rows == table.rows
    return name


def arrows() -> list[bytes]:
    table, files = pa.Table.from_pylist(ROWS), []
    for make in (pa.ipc.new_file, pa.ipc.new_stream):
        for compression in (None, "zstd"):
            sink = pa.BufferOutputStream()
            with make(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
                writer.write_table(table, 4)
            files.append(sink.getvalue().to_pybytes())
    return files


def try_arrow(data: bytes) -> str:
    path = work_folder() / "t.arrow"
    path.write_bytes(data)
    return _read_all(path)


def delta_logs() -> list[bytes]:
    """The commits of a table with a checkpoint to come, a partition and a deletion vector."""
    from tests.pipeline.tables.delta_logs import add, column, deletion_vector, write_delta

    actions = [
        add("f.parquet", deletionVector=deletion_vector([1]), stats='{"numRecords": 6}'),
        add("g.parquet", stats='{"numRecords": 6}'),
    ]
    table = pa.table({"text": [str(row["text"]) for row in ROWS]})
    files = {"f.parquet": table, "g.parquet": table}
    write_delta(work_folder() / "delta", [column("text")], actions, files, features=["deletionVectors"])
    return [next((work_folder() / "delta" / "_delta_log").glob("*.json")).read_bytes()]


def try_delta(data: bytes) -> str:
    from pipeline.common.errors import ConfigError
    from pipeline.config.storage import StorageConfig
    from pipeline.results.delta.table import ResultTable

    (work_folder() / "delta" / "_delta_log" / f"{0:020}.json").write_bytes(data)
    try:
        ResultTable(str(work_folder() / "delta"), StorageConfig(), "OUT").commits()
    except ConfigError as error:
        assert "\n" not in str(error)
    return _read_all(work_folder() / "delta")


def lances() -> list[bytes]:
    """The manifest and the file of a dataset."""
    import lance

    dataset = work_folder() / "lance.lance"
    lance.write_dataset(
        pa.table({"text": [f"text {i * i}" for i in range(500)], "x": [i / 3 for i in range(500)]}), str(dataset)
    )
    return [
        next((dataset / name).glob(kind)).read_bytes() for name, kind in (("data", "*"), ("_versions", "*.manifest"))
    ]


def try_lance(data: bytes) -> str:
    dataset = work_folder() / "lance.lance"
    small = len(data) < 2000  # a manifest
    path = next((dataset / "_versions").glob("*.manifest")) if small else next((dataset / "data").glob("*"))
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        return _read_all(dataset)
    finally:
        path.write_bytes(before)


def vectors() -> list[bytes]:
    files = []
    for kind in (pa.list_(pa.float32(), 4), pa.list_(pa.float64()), pa.large_list(pa.float16())):
        sink = io.BytesIO()
        numbers = pa.array([[0.5, 1.0, -2.0, 3.0]] * 9, pa.list_(pa.float32()))
        pq.write_table(pa.table({"id": list(range(9)), "v": numbers.cast(kind)}), sink)
        files.append(sink.getvalue())
    return files


def try_vectors(data: bytes) -> str:
    from pipeline.common.errors import ConfigError
    from pipeline.config.input import InputConfig
    from pipeline.config.storage import StorageConfig
    from pipeline.tables.rank_inputs.vectors import Vectors
    from pipeline.tables.table import open_files

    path = work_folder() / "v.parquet"
    path.write_bytes(data)
    try:
        found = Vectors.of("texts", open_files(InputConfig(path=str(path)), StorageConfig()), "id", "v", pa.int64())
        for keys, numbers in found.read():
            assert numbers.shape[0] == len(keys)
    except ConfigError as error:
        assert "\n" not in str(error)
        return "refused"
    return "read"


def footers() -> list[bytes]:
    from pipeline.results.file_footer import ResultFile

    full = ResultFile(name="part-0.parquet", rows=5, split={7: (1, 2)}, at=1.0, steps=[(1.0, 5)])
    full.errors["image_null"], full.grids["4x6"], full.file_versions[0] = 2, 3, ("a", "b")
    return [full.to_json().encode(), ResultFile().to_json().encode()]


def try_footer(data: bytes) -> str:
    from pipeline.common.errors import ConfigError
    from pipeline.results.file_footer import ResultFile, settle
    from pipeline.results.reader import written_in

    try:
        parts = written_in([data], "out")
    except ConfigError as error:
        assert "\n" not in str(error)
        return "refused"
    ResultFile.total(parts).to_json()
    settle(parts)
    return "read"


ALL_TARGETS = {
    **TARGETS,
    "arrow": Target(arrows, try_arrow),
    "delta": Target(delta_logs, try_delta),
    "lance": Target(lances, try_lance),
    "vectors": Target(vectors, try_vectors),
    "footers": Target(footers, try_footer),
}
