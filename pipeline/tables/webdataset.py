"""WebDataset tars: `key.jpg`, `key.txt`, `key.json` are one row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables import row_format
from pipeline.tables.format import OpenOptions
from pipeline.tables.jsonl import merge, parse_json
from pipeline.tables.row_format import OpenFile, RowFormat
from pipeline.tables.tar import Sample, read_samples, scan_samples


class WebDatasetFormat(RowFormat):
    """A tar whose members `key.jpg`, `key.txt`, `key.json` are one sample.

    Columns: `__key__`; `image`, the bytes of the first member that has an image's extension; `text`, of `key.txt`;
    and the fields of `key.json`, of which `text` counts if there is no `key.txt`.
    """

    name = "webdataset"
    extensions = (".tar",)
    not_copied = (
        "whose samples may have members that a table cannot hold; vilt filter copies Parquet as it is, and CSV and "
        "JSON lines as Parquet"
    )

    def scan(self, file: OpenFile, options: OpenOptions) -> tuple[pa.Schema, int]:
        """Read headers, texts and JSON, but no images. See `RowFormat`."""
        del options
        schema, rows, texts = pa.schema([]), 0, False
        with file() as opened:
            for samples in _batches(scan_samples(opened)):
                schema = merge(schema, parse_json(_json_lines(samples)).schema)
                rows += len(samples)
                texts = texts or any(sample.text is not None for sample in samples)
        first = {"__key__": pa.string(), "image": pa.binary(), **({"text": pa.string()} if texts else {})}
        return pa.schema([*first.items(), *(field for field in schema if field.name not in first)]), rows

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Read some samples at a time. See `RowFormat`."""
        for samples in _batches(read_samples(file, options.image_bytes)):
            values: dict[str, Any] = {
                "__key__": pa.array([sample.key for sample in samples], pa.string()),
                "image": pa.array([sample.image for sample in samples], pa.binary()),
            }
            fields = parse_json(_json_lines(samples), pa.schema([f for f in columns if f.name not in values]))
            values |= dict(zip(fields.column_names, fields.columns, strict=True))
            if "text" in values and pa.types.is_string(values["text"].type):  # what is not UTF-8 fails row by row
                texts = pa.array([sample.text for sample in samples], pa.binary()).view(pa.string())
                values["text"] = pc.coalesce(texts, values["text"])
            yield pa.table(values)


def _batches(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Yield samples in groups of about `BLOCK_BYTES`."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sample.size
        if size >= row_format.BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _json_lines(samples: list[Sample]) -> bytes:
    """Return the samples' fields as JSON lines."""
    lines = []
    for sample in samples:
        try:
            fields = json.loads(sample.json) if sample.json is not None else {}
        except ValueError as error:
            raise ValueError(f"{sample.key}.json: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{sample.key}.json holds a {type(fields).__name__}, not an object")
        lines.append(json.dumps(fields).encode())
    return b"\n".join(lines)
