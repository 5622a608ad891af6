"""Read the footers of Parquet files, and find the types in which the files are read together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import in_threads, storage_errors
from pipeline.storage.parquet.footer import fsspec_of, metadata_at_end
from pipeline.tables.formats.lookalikes import HEAD_BYTES, lookalike
from pipeline.tables.formats.parquet.value_ranges import (
    can_fail,
    int96_columns,
    int96_times,
    outside,
    refuse_unless_one_unit,
)
from pipeline.tables.input_file import InputFile
from pipeline.tables.schemas import as_text, is_convertible, levels, plain
from pipeline.tables.vanished_files import retry_missing

MAX_LEVELS = 50  # Arrow's IPC carries columns of 64
SCHEMAS_KEPT = 256  # of footers


class RowGroup(NamedTuple):
    """A row group: its number in the file, its rows, its bytes."""

    number: int
    rows: int
    size: int


class Footer(NamedTuple):
    """The footer of a file.

    Attributes:
        schema: The columns, of the types as which they are read.
        groups: The row groups.
        int96: The paths of the columns of times that are stored as INT96.
        unreadable: Columns of types that cannot be converted -> why.
        metadata: Keys and values that other programs have written.
        kept: The value of the key that was asked for; None if there is none.
    """

    schema: pa.Schema
    groups: list[RowGroup]
    int96: tuple[str, ...]
    unreadable: dict[str, str]
    metadata: dict[str, str]
    kept: bytes | None = None


def read_footers(
    files: Sequence[InputFile], filesystem: pa.fs.FileSystem, texts: Collection[str], key: str | None = None
) -> list[Footer]:
    """Read the footer of each file.

    Args:
        files: The files.
        filesystem: Where they are.
        texts: Columns that hold texts, and may be stored as binary.
        key: A key of the footers, whose value is kept.

    Raises:
        ConfigError: A file is no Parquet, is cut off, or has two columns of one name; the message names it.
    """
    schemas: dict[tuple[pa.Schema, str], pa.Schema] = {}  # equal ones, ids of fields included, are held once
    known: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    footers = []
    for footer in in_threads(lambda file: read_footer(file.path, filesystem, texts, file.size, key), files):
        metadata = known.setdefault(tuple(footer.metadata.items()), footer.metadata)
        same = (footer.schema, footer.schema.to_string(truncate_metadata=False, show_field_metadata=True))
        footers.append(footer._replace(schema=schemas.setdefault(same, footer.schema), metadata=metadata))
    return footers


def shared_metadata(footers: list[Footer]) -> dict[str, str]:
    """Return the keys and values that all files share."""
    distinct = list({id(footer.metadata): footer.metadata for footer in footers}.values())
    first, *others = distinct or [{}]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def common_int96_unit(paths: Sequence[str], filesystem: pa.fs.FileSystem) -> str:
    """Return the unit in which all INT96 times of a table can be read.

    Args:
        paths: The files that have such times, by their footers.
        filesystem: Where they are.

    Raises:
        ConfigError: There is none.
    """
    times = list(in_threads(lambda path: int96_times(path, filesystem), paths))
    for path, found in zip(paths, times, strict=True):
        refuse_unless_one_unit(path, found)
    far = [path for path, found in zip(paths, times, strict=True) if found.too_wide]
    fine = [path for path, found in zip(paths, times, strict=True) if found.too_fine]
    if far and fine:
        raise ConfigError(
            f"input.path: INT96 times in {far[0]!r} are out of the range of nanoseconds, and those in {fine[0]!r} are "
            "read right as nanoseconds alone: no type holds both; write them as microseconds"
        )
    return "us" if far else "ns"


def schema_with_unit(footer: Footer, unit: str) -> pa.Schema:
    """Return the schema of a file when its INT96 times are read in a unit."""
    if unit == "ns" or not footer.int96:
        return footer.schema
    tops = {path.partition(".")[0] for path in footer.int96}
    return pa.schema([f.with_type(_in_unit(f.type, unit)) if f.name in tops else f for f in footer.schema])


def columns_outside(
    paths: Sequence[str], filesystem: pa.fs.FileSystem, schemas: Sequence[pa.Schema], schema: pa.Schema
) -> dict[str, str]:
    """Return the columns with values that do not fit their type in the whole table, as far as statistics show it.

    Args:
        paths: The files.
        filesystem: Where they are.
        schemas: The schema of each file.
        schema: The schema of the whole table.

    Returns:
        Column -> the first file with values that do not fit, and these.
    """

    def found_in(file: tuple[str, list[pa.Field]]) -> dict[str, str]:
        path, fields = file
        metadata, odd = pq.read_metadata(path, filesystem=filesystem), {}
        for field in fields:
            target = schema.field(field.name).type
            if values := outside(metadata, field, target):
                reason = f"it is {field.type} in {path!r} ({values}) and in other files {target}, which does "
                odd[field.name] = f"{reason}not hold these values"
        return odd

    suspects = ((path, fields_that_can_fail(found, schema)) for path, found in zip(paths, schemas, strict=True))
    unreadable: dict[str, str] = {}
    for odd in in_threads(found_in, [(path, fields) for path, fields in suspects if fields]):
        for name, reason in odd.items():
            unreadable.setdefault(name, reason)
    return unreadable


def fields_that_can_fail(found: pa.Schema, schema: pa.Schema) -> list[pa.Field]:
    """Return the columns of a file whose values may not fit their type in the whole table; see `can_fail`."""
    return [f for f in found if f.name in schema.names and can_fail(f.type, schema.field(f.name).type)]


def read_footer(
    path: str, filesystem: pa.fs.FileSystem, texts: Collection[str], size: int, key: str | None = None
) -> Footer:
    """Read the footer of one file; see `read_footers`. size: its bytes, as they were listed."""
    try:
        found = _listed(path, filesystem, size) or retry_missing(lambda: _complete(path, filesystem), path)
        metadata = _metadata(found.metadata or {})
        groups = [_row_group(number, found.row_group(number)) for number in range(found.num_row_groups)]
        schema = found.schema.to_arrow_schema().remove_metadata()
    except pa.ArrowNotImplementedError as error:
        raise ConfigError(
            f"input.path: {path!r} has a column of a type that is not read: {first_line(error)}; write it as another, "
            "as strings or decimals"
        ) from None
    except pa.ArrowInvalid as error:
        fault = _lookalike(path, filesystem) or first_line(error)
        raise ConfigError(f"input.path: {path!r} is not Parquet, or is cut off: {fault}") from None
    except storage_errors() as error:
        raise ConfigError(f"input.path: cannot read {path!r}: {first_line(error)}") from None
    if any(pa.types.is_fixed_size_binary(kind) for kind in schema.types):
        schema = _with_uuids(schema, found.schema)
    read, reasons = _as_read(schema.serialize().to_pybytes(), tuple(texts))
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise ConfigError(f"input.path: {path!r} has two columns named {twice[0]!r}; give each a name of its own")
    odd = {name: f"{reason} in {path!r}" for name, reason in reasons.items()}
    has_times = any("timestamp[ns" in str(kind) for kind in schema.types)
    kept = None if key is None else (found.metadata or {}).get(key.encode())
    return Footer(read, groups, tuple(int96_columns(found)) if has_times else (), odd, metadata, kept)


def _row_group(number: int, group: pq.RowGroupMetaData) -> RowGroup:
    return RowGroup(number, group.num_rows, group.total_byte_size)


@lru_cache(SCHEMAS_KEPT)  # files of a table mostly have the same
def _as_read(stored: bytes, texts: tuple[str, ...]) -> tuple[pa.Schema, dict[str, str]]:
    """Return the columns of a file, of the types as which they are read, and those that are not -> why.

    Args:
        stored: The schema of the file, serialized: schemas that differ in the ids of fields alone are equal.
        texts: Columns that hold texts.
    """
    schema = pa.ipc.read_schema(pa.py_buffer(stored))
    odd = {f.name: f"it is {f.type}" for f in schema if not is_convertible(f.type)}
    deep = f"it has more than {MAX_LEVELS} lists and structs within each other"
    odd |= {f.name: deep for f in schema if levels(f.type) > MAX_LEVELS}
    fields = [field.with_type(plain(field.type)) for field in schema if field.name not in odd]
    return with_texts(pa.schema(fields), texts), odd


def with_texts(schema: pa.Schema, texts: Collection[str]) -> pa.Schema:
    """Return a schema with strings in the columns of texts, also if they are stored as binary."""
    return pa.schema([f.with_type(as_text(f.type)) if f.name in texts else f for f in schema])


def _lookalike(path: str, filesystem: pa.fs.FileSystem) -> str | None:
    """Return what a file is that is not Parquet, None if its first bytes say nothing."""
    try:
        with filesystem.open_input_file(path) as opened:
            what = lookalike(opened.read(HEAD_BYTES), "parquet")
    except storage_errors():
        return None
    return f"it is {what}" if what else None


def _with_uuids(schema: pa.Schema, stored: pq.ParquetSchema) -> pa.Schema:
    """Return the schema with the type of UUIDs, which files that pyarrow did not write name in their own terms."""
    leaves = map(stored.column, range(len(stored)))
    uuids = {leaf.path for leaf in leaves if leaf.logical_type.type == "UUID"}
    return pa.schema([field.with_type(pa.uuid()) if field.name in uuids else field for field in schema])


def _metadata(values: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return what other programs say in a footer, without what is of its file alone: pandas' numbers of rows."""
    out = {}
    for key, value in values.items():
        if key == b"ARROW:schema" or key.startswith(b"vilt."):
            continue
        try:
            name, text = key.decode(), value.decode()
            out[name] = _without_row_numbers(text) if name == "pandas" else text
        except ValueError:  # not text, or not the JSON that pandas writes
            continue
    return out


def _without_row_numbers(text: str) -> str:
    """Return pandas' description of a table without an index that counts rows: results have other rows."""
    values = json.loads(text)
    if isinstance(values, dict) and isinstance(values.get("index_columns"), list):
        values["index_columns"] = [one for one in values["index_columns"] if isinstance(one, str)]
    return json.dumps(values)


def _listed(path: str, filesystem: pa.fs.FileSystem, size: int) -> pq.FileMetaData | None:
    """Read the footer of a file with one request; None if pyarrow's own filesystem has it, or it is to be asked."""
    held = fsspec_of(filesystem)
    return None if held is None else metadata_at_end(held, path, size)


def _complete(path: str, filesystem: pa.fs.FileSystem) -> pq.FileMetaData:
    """Read the footer of a file."""
    fragment = ds.ParquetFileFormat().make_fragment(path, filesystem)
    fragment.ensure_complete_metadata()
    return fragment.metadata


def _in_unit(kind: pa.DataType, unit: str) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp(unit, kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_in_unit(field.type, unit)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_in_unit(kind.key_type, unit), _in_unit(kind.item_type, unit))
    if pa.types.is_large_list(kind):
        return pa.large_list(_in_unit(kind.value_type, unit))
    return pa.list_(_in_unit(kind.value_type, unit)) if pa.types.is_list(kind) else kind
