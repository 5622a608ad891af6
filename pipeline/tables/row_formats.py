"""Tables whose rows stand one after the other: CSV, JSON lines, WebDataset.

Such files do not tell how many rows they hold, and their types are only known when all of them were seen. So each is
read twice: `scan`, before anything starts, with the same parser as `read`, so that the count is exact and a damaged
file is named before any work is done. Of tars it reads headers and JSON, not images.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from pipeline.tables.tar import Sample, read_samples, scan_samples

BLOCK_BYTES = 16 * 2**20  # of text that is parsed at a time; a row must be smaller
Open = Callable[[], IO[bytes]]


class RowFormat(Protocol):
    """A file format. Errors of both methods are pyarrow's or ValueErrors, and do not name the file.

    same_columns: whether a file that lacks columns of others is an error.
    """

    same_columns: bool

    def scan(self, file: Open) -> tuple[pa.Schema, int]:
        """The schema and the number of rows of one file."""

    def read(self, file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
        """All rows of one file, in order, with these columns. Each file's own schema may lack some of them."""


class Csv:
    """Values are strings, exactly as they stand in the file ("007" stays "007"), but for the id column.

    Commas, double quotes, a header line; quoted values may hold line ends. An empty value is an empty string.
    """

    same_columns = True

    def __init__(self, id_column: str | None) -> None:
        self.id_column = id_column

    def scan(self, file: Open) -> tuple[pa.Schema, int]:
        """See `RowFormat`."""
        with file() as opened:
            names = _open_csv(opened, pa.schema([])).schema.names
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns are named {twice!r}")
        schema = pa.schema([(name, pa.int64() if name == self.id_column else pa.string()) for name in names])
        with file() as opened:
            return schema, sum(batch.num_rows for batch in _open_csv(opened, schema))

    def read(self, file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
        """See `RowFormat`."""
        for batch in _open_csv(file, schema):
            yield pa.Table.from_batches([batch])


def _open_csv(file: IO[bytes], schema: pa.Schema) -> pa.csv.CSVStreamingReader:
    """Only the columns of `schema`; of an empty one, all."""
    return pa.csv.open_csv(
        file,
        read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=schema, include_columns=schema.names, check_utf8=False, strings_can_be_null=False
        ),
    )


class JsonLines:
    """One object a line. A field that an object lacks is null."""

    same_columns = False

    def scan(self, file: Open) -> tuple[pa.Schema, int]:
        """See `RowFormat`."""
        schema, rows = pa.schema([]), 0
        with file() as opened:
            for lines in _lines(opened):
                table = parse_json(lines)
                schema, rows = _merge(schema, table.schema), rows + table.num_rows
        return schema, rows

    def read(self, file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
        """See `RowFormat`."""
        for lines in _lines(file):
            yield parse_json(lines, schema)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    rest = b""
    while block := file.read(BLOCK_BYTES):
        head, end, rest = (rest + block).rpartition(b"\n")
        if head.strip():
            yield head + end
    if rest.strip():
        yield rest


def parse_json(lines: bytes, schema: pa.Schema | None = None) -> pa.Table:
    """JSON objects -> rows: of `schema`, else of the types that they show. Strings stay strings, dates too."""
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
    """A type with strings for the times that pyarrow sees in them."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_dates(field.type)) for field in kind])
    return kind


def _merge(a: pa.Schema, b: pa.Schema) -> pa.Schema:
    return pa.unify_schemas([a, b], promote_options="permissive")


class WebDataset:
    """A tar whose members `key.jpg`, `key.txt`, `key.json` are one sample.

    Columns: `__key__`; `image`, the bytes of the first member that has an image's extension; `text`, of `key.txt`;
    and the fields of `key.json`, of which `text` counts where there is no `key.txt`.
    """

    same_columns = False

    def __init__(self, max_image_bytes: int) -> None:
        self.max_image_bytes = max_image_bytes

    def scan(self, file: Open) -> tuple[pa.Schema, int]:
        """See `RowFormat`."""
        schema, rows, texts = pa.schema([]), 0, False
        with file() as opened:
            for samples in _batches(scan_samples(opened)):
                schema = _merge(schema, parse_json(_json_lines(samples)).schema)
                rows += len(samples)
                texts = texts or any(sample.text is not None for sample in samples)
        own = {"__key__": pa.string(), "image": pa.binary(), **({"text": pa.string()} if texts else {})}
        return pa.schema([*own.items(), *(field for field in schema if field.name not in own)]), rows

    def read(self, file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
        """See `RowFormat`."""
        for samples in _batches(read_samples(file, self.max_image_bytes)):
            columns: dict[str, Any] = {
                "__key__": pa.array([sample.key for sample in samples], pa.string()),
                "image": pa.array([sample.image for sample in samples], pa.binary()),
            }
            fields = parse_json(_json_lines(samples), pa.schema([f for f in schema if f.name not in columns]))
            columns |= dict(zip(fields.column_names, fields.columns, strict=True))
            if "text" in columns and pa.types.is_string(columns["text"].type):  # what is not UTF-8 fails row by row
                texts = pa.array([sample.text for sample in samples], pa.binary()).view(pa.string())
                columns["text"] = pc.coalesce(texts, columns["text"])
            yield pa.table({name: columns[name] for name in schema.names}, schema)


def _batches(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Samples in groups of about `BLOCK_BYTES`."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sample.size
        if size >= BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _json_lines(samples: list[Sample]) -> bytes:
    """The samples' fields as JSON lines."""
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
