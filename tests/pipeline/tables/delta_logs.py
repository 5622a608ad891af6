"""Delta tables with what delta-rs does not write, as Databricks and Spark do: the log is written by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def column(name: str, kind: Any = "string", **mapping: Any) -> dict[str, Any]:
    """Return a field of a schema. mapping: `id` and `physicalName` of column mapping."""
    metadata = {f"delta.columnMapping.{key}": value for key, value in mapping.items()}
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def add(path: str, partition: dict[str, str | None] | None = None, **more: Any) -> dict[str, Any]:
    """Return an entry of the log that adds a file."""
    values = {"path": path, "partitionValues": partition or {}, "size": 500, "modificationTime": 1, "dataChange": True}
    return {"add": {**values, **more}}


def write_delta(
    folder: Path,
    columns: list[dict[str, Any]],
    actions: list[dict[str, Any]],
    files: dict[str, pa.Table],
    features: list[str] | None = None,
    partition_by: list[str] | None = None,
    **configuration: str,
) -> None:
    """Write the files and a log of one version."""
    protocol: dict[str, Any] = {"minReaderVersion": 2, "minWriterVersion": 5}
    if features is not None:
        lists = {"readerFeatures": features, "writerFeatures": features}
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7, **lists}
    metadata = {
        "id": "a-table",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": columns}),
        "partitionColumns": partition_by or [],
        "configuration": {f"delta.{key}": value for key, value in configuration.items()},
        "createdTime": 0,
    }
    for name, table in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name)
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [{"commitInfo": {"timestamp": 1000}}, {"protocol": protocol}, {"metaData": metadata}, *actions]
    (log / f"{0:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def deletion_vector(rows: list[int]) -> dict[str, Any]:
    """Return a deletion vector that is stored in the log: a roaring bitmap in base 85, as the protocol has it."""
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + struct.pack(f"<{len(rows)}H", *rows)
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    padded = data + b"\0" * (-len(data) % 4)
    text = ""
    for begin in range(0, len(padded), 4):
        value, digits = int.from_bytes(padded[begin : begin + 4], "big"), ""
        for _ in range(5):
            value, digit = divmod(value, 85)
            digits = Z85[digit] + digits
        text += digits
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(data), "cardinality": len(rows)}
