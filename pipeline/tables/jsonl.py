"""Tables of JSON lines."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.json

from pipeline.tables import row_format
from pipeline.tables.format import OpenOptions
from pipeline.tables.json_types import JsonColumns, Row, has_null, to_table
from pipeline.tables.row_format import OpenFile, RowFormat, Scan

_LONG_INTEGER = re.compile(rb"[:,\[\s]-?\d{16}\d*\s*[,}\]\s]")  # which a double may not hold


class JsonLinesFormat(RowFormat):
    """JSON lines: one object a line. A field that an object lacks is null.

    Blocks of lines are parsed by pyarrow; those that it refuses, or whose integers it might round, line by line.
    """

    name = "jsonl"
    extensions = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz")

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Parse all lines. See `RowFormat`."""
        del options
        columns, rows, line = JsonColumns(), 0, 1
        with file() as opened:
            for block in _blocks(opened):
                table = _infer(block)
                if table is None:
                    parsed = _parse_lines(block, line)
                    columns.add_rows(parsed)
                    rows += len(parsed)
                else:
                    if faults := columns.add_table(table):
                        columns.locate(faults, _parse_lines(block, line))
                    rows += table.num_rows
                line += block.count(b"\n")
        return Scan(columns.schema, rows, columns)

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Parse block by block. See `RowFormat`."""
        del options
        line = 1
        nulls = any(kind.num_fields and has_null(kind) for kind in columns.types)  # of which pyarrow 26 makes bad lists
        for block in _blocks(file):
            table = None if nulls else _parse_as(block, columns)
            yield table if table is not None else to_table([row for _, row in _parse_lines(block, line)], columns)
            line += block.count(b"\n")

    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Join the columns of all files."""
        return unify_json(paths, scans)


def unify_json(paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
    """Return the columns of all files, and those that cannot be read, with the reason."""
    joined = JsonColumns()
    for path, scan in zip(paths, scans, strict=True):
        assert scan.json is not None
        known = {name for name, column in joined.columns.items() if column.fault}
        joined.merge(scan.json, repr(path))
        for name in scan.json.unreadable.keys() - known:
            joined.columns[name].fault = f"{path!r}, {scan.json.unreadable[name]}"
    return joined.schema, joined.unreadable


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines."""
    rest = b""
    while block := file.read(row_format.BLOCK_BYTES):
        head, end, rest = (rest + block).rpartition(b"\n")
        if head.strip():
            yield head + end
    if rest.strip():
        yield rest


def _infer(block: bytes) -> pa.Table | None:
    """Return a block as pyarrow understands it, but with strings for dates; None if it does not, or might round."""
    try:
        table = _parse(block, pa.json.ParseOptions(unexpected_field_behavior="infer"))
        schema = pa.schema([(field.name, _without_dates(field.type)) for field in table.schema])
        if schema != table.schema:
            table = _parse(block, pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"))
    except pa.ArrowInvalid:
        return None
    if any(_has_double(kind) for kind in table.schema.types) and _LONG_INTEGER.search(block):
        return None
    return table


def _parse_as(block: bytes, columns: pa.Schema) -> pa.Table | None:
    """Return a block with these columns; None if pyarrow refuses it."""
    try:
        return _parse(block, pa.json.ParseOptions(explicit_schema=columns, unexpected_field_behavior="ignore"))
    except pa.ArrowInvalid:
        return None


def _parse(block: bytes, options: pa.json.ParseOptions) -> pa.Table:
    reading = pa.json.ReadOptions(block_size=len(block) + 1, use_threads=False)
    table = pa.json.read_json(io.BytesIO(block), reading, options)
    schema = options.explicit_schema
    return table if schema is None or options.unexpected_field_behavior == "infer" else table.select(schema.names)


def _parse_lines(block: bytes, first_line: int) -> list[tuple[str, Row]]:
    """Return the objects of a block, each with its line. Raises ValueError that names the line."""
    rows: list[tuple[str, Row]] = []
    for number, line in enumerate(block.split(b"\n"), first_line):
        if not line.strip():
            continue
        where = f"line {number:,}"
        try:
            value: Any = json.loads(line)
        except UnicodeDecodeError:
            value = json.loads(line.decode(errors="surrogateescape"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}, column {error.colno}: {error.msg}") from None
        if not isinstance(value, dict):
            kind = "a JSON list" if isinstance(value, list) else f"a {type(value).__name__}"
            raise ValueError(f"{where}: {kind}; JSON lines are one object a line")
        rows.append((where, value))
    return rows


def _has_double(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_double(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_has_double(field.type) for field in kind)
    return bool(pa.types.is_floating(kind))


def _without_dates(kind: pa.DataType) -> pa.DataType:
    """Return a type with strings for the times that pyarrow sees in them."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_dates(field.type)) for field in kind])
    return kind
