"""Tables of JSON lines."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.json

from pipeline.tables.format import OpenOptions
from pipeline.tables.formats.json_types import JsonColumns, Row, has_null, to_table
from pipeline.tables.formats.jsonl.lines import Lines, read_lines
from pipeline.tables.formats.lookalikes import HEAD_BYTES
from pipeline.tables.formats.row_format import OpenFile, RowFormat, Scan, unread_row
from vilt.common.json_text import open_levels, read_json

OPEN_LEVELS = 1000  # that pyarrow, to which a line end is a blank, takes without an overflow of the stack
_LONG_INTEGER = re.compile(rb"[:,\[\s]-?\d{16}\d*\s*[,}\]\s]")  # which a double may not hold


class JsonLinesFormat(RowFormat):
    """JSON lines: one object a line. A field that an object lacks is null.

    Blocks of lines are parsed by pyarrow; those that it refuses, or whose integers it might round, line by line.
    """

    name = "jsonl"
    extensions = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz")

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Parse all lines. See `RowFormat`."""
        try:
            return self._scan_lines(file, options)
        except ValueError as error:
            with file() as opened:
                head = opened.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
            raise ValueError(_not_lines(head) or str(error)) from None

    def _scan_lines(self, file: OpenFile, options: OpenOptions) -> Scan:
        columns, rows = JsonColumns(), 0
        with file() as opened:
            for lines in read_lines(opened, options.row_bytes, options.json_depth):
                if lines.failure:
                    rows += 1
                    continue
                table = _infer(lines.data)
                if table is None:
                    parsed = _parse_lines(lines)
                    columns.add_rows(parsed)
                    rows += len(parsed)
                else:
                    if faults := columns.add_table(table):
                        columns.locate(faults, _parse_lines(lines))
                    rows += table.num_rows
        return Scan(columns.schema, rows, columns)

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Parse block by block. See `RowFormat`."""
        nulls = any(kind.num_fields and has_null(kind) for kind in columns.types)  # of which pyarrow 26 makes bad lists
        for lines in read_lines(file, options.row_bytes, options.json_depth):
            if lines.failure:
                yield unread_row(columns, lines.failure)
                continue
            table = None if nulls else _parse_as(lines.data, columns)
            yield table if table is not None else to_table([row for _, row in _parse_lines(lines)], columns)

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


def _not_lines(head: bytes) -> str | None:
    """Return what is wrong with JSON that is not one object a line, by its first bytes; None if they say nothing."""
    if head.lstrip().startswith(b"["):
        return "it is a JSON list; JSON lines are one object a line: jq -c '.[]' FILE > FILE.jsonl writes them so"
    if head.strip() and head.lstrip().splitlines()[0].strip() == b"{":
        return "it has an object in several lines; JSON lines are one a line: jq -c . FILE > FILE.jsonl writes them so"
    return None


def _infer(block: bytes) -> pa.Table | None:
    """Return a block as pyarrow understands it, but with strings for dates; None if it does not, or might round."""
    if open_levels(block) > OPEN_LEVELS:
        return None
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
    if open_levels(block) > OPEN_LEVELS:
        return None
    try:
        return _parse(block, pa.json.ParseOptions(explicit_schema=columns, unexpected_field_behavior="ignore"))
    except pa.ArrowInvalid:
        return None


def _parse(block: bytes, options: pa.json.ParseOptions) -> pa.Table:
    reading = pa.json.ReadOptions(block_size=len(block) + 1, use_threads=False)
    table = pa.json.read_json(io.BytesIO(block), reading, options)
    schema = options.explicit_schema
    return table if schema is None or options.unexpected_field_behavior == "infer" else table.select(schema.names)


def _parse_lines(lines: Lines) -> list[tuple[str, Row]]:
    """Return the objects of some lines, each with its line. Raises ValueError that names the line."""
    rows: list[tuple[str, Row]] = []
    for number, line in enumerate(lines.data.split(b"\n"), lines.first):
        if not line.strip():
            continue
        where = f"line {number:,}"
        try:
            value: Any = read_json(line, sys.maxsize)  # deep ones are not here
        except UnicodeDecodeError:
            value = read_json(line.decode(errors="surrogateescape"), sys.maxsize)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}, column {error.colno}: {error.msg}") from None
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
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
