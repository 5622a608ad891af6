"""List an Iceberg table of very many files: `python -m benchmarks.iceberg_log [--files 1000 50000 1000000]`.

pyiceberg writes the metadata; the files themselves are not there. Each size is listed in a process of its own, and
another reads the manifests from 20,000 files on: its seconds of a core and its peak stand beside what the driver's
memory grows by. A million files take some minutes to write.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from benchmarks import machine
from benchmarks.delta_log import name_of
from benchmarks.million_files import peak
from pipeline import JobConfig
from pipeline.tables.table import list_table

ROWS = 10  # of a file
AT_ONCE = 100_000  # files of a manifest


def write_metadata(folder: Path, files: int, size: int) -> str:
    """Write the metadata of a table of images, texts and ids.

    Args:
        folder: An empty folder.
        files: How many files the table has, in folders of a thousand.
        size: Bytes of each.

    Returns:
        The path of the metadata file.
    """
    catalog = SqlCatalog("mine", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace("n")
    columns = pa.schema({"image": pa.binary(), "text": pa.string(), "id": pa.int64()})
    table = catalog.create_table("n.t", schema=columns)
    numbers = {field.field_id: ROWS for field in table.schema().fields}
    for begin in range(0, files, AT_ONCE):
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as snapshot:
            for number in range(begin, min(begin + AT_ONCE, files)):
                snapshot.append_data_file(
                    DataFile.from_args(
                        content=DataFileContent.DATA,
                        file_path=f"{table.location()}/{name_of(number)}",
                        file_format=FileFormat.PARQUET,
                        partition=Record(),
                        record_count=ROWS,
                        file_size_in_bytes=size,
                        column_sizes=dict.fromkeys(numbers, size // 3),
                        value_counts=numbers,
                        null_value_counts=dict.fromkeys(numbers, 0),
                        nan_value_counts={},
                        lower_bounds={2: b"a small red star", 3: number.to_bytes(8, "little")},
                        upper_bounds={2: b"a small red star", 3: number.to_bytes(8, "little")},
                    )
                )
    return str(table.metadata_location).removeprefix("file://")


def measure(path: str) -> None:
    """List a table in this process, and print what that took as a row."""
    import pyiceberg.table  # noqa: F401  # what is imported is not the table's

    values = {"input": {"path": path, "id": "id"}, "model": "zoo://scenes", "output": {"path": "out"}}
    config = JobConfig.parse("score", values)
    before, begin = peak(), time.perf_counter()
    files = len(list_table(config.input, config.storage).files)
    seconds, grown = time.perf_counter() - begin, (peak() - before) / 2**20
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"| {files:,} | {seconds:.1f} s | {grown:.0f} MiB | {child.ru_utime + child.ru_stime:.1f} s | "
        f"{child.ru_maxrss / 2**10:.0f} MiB |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--measure", help="this table alone, in this process")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    print(f"{machine.describe()}\n\n| files | listed | the driver grows by | the other process | its peak |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for files in given.files:
        with tempfile.TemporaryDirectory() as folder:
            path = write_metadata(Path(folder), files, 1500)
            subprocess.run([sys.executable, "-m", "benchmarks.iceberg_log", "--measure", path], check=True)


if __name__ == "__main__":
    main()
