"""Write the metadata of an Iceberg table of very many files with pyiceberg: the files themselves are not there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from benchmarks.delta_log import name_of

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
