"""Write the log of a Delta table of very many files, as one checkpoint: the files themselves are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAP = pa.map_(pa.string(), pa.string())
ADD = pa.struct(
    {
        "path": pa.string(),
        "partitionValues": MAP,
        "size": pa.int64(),
        "modificationTime": pa.int64(),
        "dataChange": pa.bool_(),
        "stats": pa.string(),
    }
)
METADATA = pa.struct(
    {
        "id": pa.string(),
        "format": pa.struct({"provider": pa.string(), "options": MAP}),
        "schemaString": pa.string(),
        "partitionColumns": pa.list_(pa.string()),
        "configuration": MAP,
        "createdTime": pa.int64(),
    }
)
PROTOCOL = pa.struct({"minReaderVersion": pa.int32(), "minWriterVersion": pa.int32()})
LOG = pa.schema({"add": ADD, "metaData": METADATA, "protocol": PROTOCOL})
STATS = {"numRecords": 10, "minValues": {"id": 0}, "maxValues": {"id": 9}, "nullCount": {"id": 0, "text": 0}}
AT_ONCE = 50_000


def write_log(folder: Path, files: int, size: int) -> None:
    """Write the log of a table of images, texts and ids.

    Args:
        folder: The table's folder.
        files: How many files it has, in folders of a thousand.
        size: Bytes of each.
    """
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    kinds = {"image": "binary", "text": "string", "id": "long"}
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in kinds.items()]
    metadata: dict[str, Any] = {
        "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "format": {"provider": "parquet", "options": []},
        "schemaString": json.dumps({"type": "struct", "fields": fields}),
        "partitionColumns": [],
        "configuration": [],
        "createdTime": 1_700_000_000_000,
    }
    shared = {"partitionValues": [], "size": size, "dataChange": True, "stats": json.dumps(STATS)}
    with pq.ParquetWriter(log / f"{1:020d}.checkpoint.parquet", LOG) as writer:
        head = [{"metaData": metadata}, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}]
        writer.write_table(pa.Table.from_pylist(head, LOG))
        for begin in range(0, files, AT_ONCE):
            adds = [
                {"add": {**shared, "path": name_of(number), "modificationTime": 1_700_000_000_000 + number}}
                for number in range(begin, min(begin + AT_ONCE, files))
            ]
            writer.write_table(pa.Table.from_pylist(adds, LOG))
    (log / "_last_checkpoint").write_text(json.dumps({"version": 1, "size": files + 2}))
    (log / f"{1:020d}.json").write_text(json.dumps({"commitInfo": {"timestamp": 1_700_000_000_000}}) + "\n")


def name_of(number: int) -> str:
    """Return the name of a file."""
    return f"{number // 1000:04d}/{number // 1000:04d}-{number % 1000:05d}.parquet"
