"""Tables of JSON lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.json

from pipeline.tables import row_format
from pipeline.tables.format import OpenOptions
from pipeline.tables.row_format import OpenFile, RowFormat


class JsonLinesFormat(RowFormat):
    """JSON lines: one object a line. A field that an object lacks is null."""

    name = "jsonl"
    extensions = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz")

    def scan(self, file: OpenFile, options: OpenOptions) -> tuple[pa.Schema, int]:
        """Parse all lines. See `RowFormat`."""
        del options
        schema, rows = pa.schema([]), 0
        with file() as opened:
            for lines in _lines(opened):
                table = parse_json(lines)
                schema, rows = merge(schema, table.schema), rows + table.num_rows
        return schema, rows

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Parse block by block. See `RowFormat`."""
        del options
        for lines in _lines(file):
            yield parse_json(lines, columns)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines."""
    rest = b""
    while block := file.read(row_format.BLOCK_BYTES):
        head, end, rest = (rest + block).rpartition(b"\n")
        if head.strip():
            yield head + end
    if rest.strip():
        yield rest


def parse_json(lines: bytes, schema: pa.Schema | None = None) -> pa.Table:
    """Parse JSON objects to rows.

    Args:
        lines: One object a line.
        schema: The columns to read; None: all, of the types that they show. Strings stay strings, dates too.
    """
    if lines.lstrip()[:1] == b"[":
        raise ValueError("a JSON list; JSON lines are one object a line")
    unexpected = "infer" if schema is None else "ignore"
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    table = pa.json.read_json(
        io.BytesIO(lines), pa.json.ReadOptions(block_size=len(lines) + 1, use_threads=False), options
    )
    if schema is not None:
        return table.select(schema.names)
    plain = pa.schema([(field.name, _without_dates(field.type)) for field in table.schema])
    return table if plain == table.schema else parse_json(lines, plain)


def _without_dates(kind: pa.DataType) -> pa.DataType:
    """Return a type with strings for the times that pyarrow sees in them."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_dates(field.type)) for field in kind])
    return kind


def merge(a: pa.Schema, b: pa.Schema) -> pa.Schema:
    """Return the schema of the rows of both."""
    return pa.unify_schemas([a, b], promote_options="permissive")
