"""One schema for the files of a table, and the rows of each file in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import UNREAD
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.suggestions import nearest


def unify(files: Sequence[str], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return one schema for all files, see `unify_readable`.

    Raises:
        ConfigError: A column has types that do not fit together; the message names it and the first such file.
    """
    merged, unreadable = unify_readable(files, schemas)
    for reason in unreadable.values():
        raise ConfigError(f"input.path: {reason}")
    return merged


def unify_readable(files: Sequence[str], schemas: Sequence[pa.Schema]) -> tuple[pa.Schema, dict[str, str]]:
    """Return one schema for all files: a column that a file lacks is null there, numbers take the wider type.

    Args:
        files: The path of each file, for messages.
        schemas: The schema of each file.

    Returns:
        The schema, without the columns whose types do not fit together; and for each of these the reason.
    """
    unreadable: dict[str, str] = {}
    merged = schemas[0].remove_metadata()
    known = {schemas[0]}
    for file, schema in zip(files, schemas, strict=True):
        if schema in known:
            continue
        known.add(schema)
        schema = schema.remove_metadata()
        for field in schema:
            if field.name not in merged.names:
                continue
            before = merged.field(field.name)
            if pa.types.is_dictionary(before.type) != pa.types.is_dictionary(field.type):
                before, field = (one.with_type(decoded(one.type)) for one in (before, field))
                merged = merged.set(merged.get_field_index(field.name), before)
                schema = schema.set(schema.get_field_index(field.name), field)
            if not _fit(before, field):
                reason = f"column {field.name!r} is {field.type} in {file!r} and {before.type} in other files"
                unreadable.setdefault(field.name, reason)
                schema = schema.set(schema.get_field_index(field.name), before)
        merged = pa.unify_schemas([merged, schema], promote_options="permissive")
    return pa.schema([field for field in merged if field.name not in unreadable]), unreadable


def decoded(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column, dictionary-encoded or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type as which values are read: views and fixed lists of strings as everybody else holds them."""
    types = pa.types
    if not _has_view(kind):
        return kind
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, plain(kind.value_type), kind.ordered)
    if types.is_struct(kind):
        return pa.struct([field.with_type(plain(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(kind.key_field.with_type(plain(kind.key_type)), kind.item_field.with_type(plain(kind.item_type)))
    if types.is_fixed_size_list(kind):
        value = kind.value_field.with_type(plain(kind.value_type))
        return pa.list_(value) if is_text(value.type) or is_bytes(value.type) else pa.list_(value, kind.list_size)
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(kind.value_field.with_type(plain(kind.value_type)))
    if types.is_list(kind) or types.is_list_view(kind):
        return pa.list_(kind.value_field.with_type(plain(kind.value_type)))
    return kind


def _has_view(kind: pa.DataType) -> bool:
    """Return whether a type is not `plain`, or a type within it is not."""
    types = pa.types
    if types.is_string_view(kind) or types.is_binary_view(kind) or types.is_list_view(kind):
        return True
    if types.is_large_list_view(kind):
        return True
    if types.is_fixed_size_list(kind) and (is_text(kind.value_type) or is_bytes(kind.value_type)):
        return True
    if types.is_dictionary(kind):
        return _has_view(kind.value_type)
    return any(_has_view(kind.field(i).type) for i in range(kind.num_fields))


def is_convertible(kind: pa.DataType) -> bool:
    """Return whether values of a type can be converted to its `plain` one.

    pyarrow 26 makes invalid arrays of list views that hold nested values or are nested; nobody is known to write them.
    """
    views = (pa.types.is_list_view, pa.types.is_large_list_view)
    if any(is_view(kind) for is_view in views):
        return not kind.value_type.num_fields
    return not re.search(r"list_view<", str(kind))


def levels(kind: pa.DataType) -> int:
    """Return how many lists, structs and maps stand within each other in a type."""
    return 1 + max((levels(kind.field(i).type) for i in range(kind.num_fields)), default=-1)


def as_text(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column of texts that are stored as binary: the same with strings."""
    if pa.types.is_binary(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.large_string()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, as_text(kind.value_type), kind.ordered)
    if pa.types.is_list(kind):
        return pa.list_(as_text(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(as_text(kind.value_type))
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Return whether values are lists of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values are bytes, of any length each."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_legible(kind: pa.DataType) -> bool:
    """Return whether a person can read values as they are: texts, numbers, dates; not bytes, lists and structs."""
    kind = decoded(kind)
    return not (pa.types.is_nested(kind) or is_bytes(kind) or pa.types.is_fixed_size_binary(kind))


def is_bytes_or_path(kind: pa.DataType) -> bool:
    """Return whether values are structs with the bytes of an image, or where it is."""
    return bool(pa.types.is_struct(kind)) and {field.name for field in kind} >= {"bytes", "path"}


def conform(rows: pa.Table, schema: pa.Schema, constants: Mapping[str, Any], file: str) -> pa.Table:
    """Return rows of one file with the columns of the whole table.

    Args:
        rows: The rows, with at least those columns of `schema` that the file has.
        schema: The columns to return.
        constants: The value of each column that is the same in all rows: those of the folders' names.
        file: The name of the file.

    Raises:
        ConfigError: A value does not fit the type that its column has in the whole table.
    """
    columns = []
    for field in schema:
        if field.name in constants:
            columns.append(pa.repeat(pa.scalar(constants[field.name], field.type), rows.num_rows))
        elif field.name not in rows.column_names:
            columns.append(pa.nulls(rows.num_rows, field.type))
        else:
            columns.append(cast(rows[field.name], field, file))
    if not columns:
        return rows.select([])
    return pa.Table.from_arrays(columns, schema=schema)


def cast(values: pa.ChunkedArray | pa.Array, field: pa.Field, file: str) -> pa.ChunkedArray | pa.Array:
    """Return the values of a column in the type of the whole table. Raises ConfigError as `conform`."""
    if values.type == field.type:
        return values
    try:
        values = _without_list_views(values)
        if _has_binary(values.type) and not _has_binary(field.type):  # what is not UTF-8 fails row by row, later
            return _view_as_text(values, field.type)
        return values.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ConfigError(
            f"input.path: column {field.name!r} of {file!r} is {values.type}, in other files {field.type}: "
            f"{first_line(error)}; leave it out of input.columns, or write the files with one type"
        ) from None


def _without_list_views(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return list views as lists: pyarrow 26 casts them to lists that lack their last offset."""
    if not (pa.types.is_list_view(values.type) or pa.types.is_large_list_view(values.type)):
        return values
    large = pa.types.is_large_list_view(values.type)
    if isinstance(values, pa.ChunkedArray):
        kind = (pa.large_list if large else pa.list_)(values.type.value_field)
        return pa.chunked_array([_without_list_views(chunk) for chunk in values.chunks], kind)
    lengths = pc.fill_null(values.value_lengths(), 0).to_numpy(zero_copy_only=False)
    offsets = np.append(0, np.cumsum(lengths, dtype=np.int64)).astype(np.int64 if large else np.int32)
    whole = pa.LargeListArray if large else pa.ListArray
    nulls = values.is_null() if values.null_count else None
    return whole.from_arrays(pa.array(offsets), values.flatten(), mask=nulls)


def _has_binary(kind: pa.DataType) -> bool:
    """Return whether a column of texts is stored as binary."""
    if pa.types.is_dictionary(kind) or is_list(kind):
        return _has_binary(kind.value_type)
    return is_bytes(kind) or bool(pa.types.is_binary_view(kind))


def _view_as_text(values: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([_view_as_text(chunk, kind) for chunk in values.chunks], kind)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_dictionary(kind):
        return _view_as_text(values, kind.value_type).dictionary_encode().cast(kind)
    if is_list(kind):
        stored = values.cast(pa.list_(pa.binary()) if pa.types.is_list(kind) else pa.large_list(pa.binary()))
        texts = _view_as_text(stored.values, kind.value_type)
        # Not `from_arrays`, which takes no null lists of an array that is a slice.
        return pa.Array.from_buffers(kind, len(stored), stored.buffers()[:2], offset=stored.offset, children=[texts])
    return values.cast(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()).view(kind)


def _fit(a: pa.Field, b: pa.Field) -> bool:
    """Return whether two types have a common one; bytes and strings, which pyarrow would take for bytes, have none."""
    if (is_text(a.type) and is_bytes(b.type)) or (is_bytes(a.type) and is_text(b.type)):
        return False
    try:
        pa.unify_schemas([pa.schema([a]), pa.schema([b])], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def require_column(schema: pa.Schema, key: str, name: str) -> None:
    """Check that a table has a column.

    Args:
        schema: The schema of the table.
        key: The key of the config that names the column.
        name: The column.

    Raises:
        ConfigError: It has no such column; the message says which it has, and which has nearly this name.
    """
    if name not in schema.names:
        close = nearest(name, schema.names)
        hint = f"did you mean {close!r}? " if close else ""
        raise ConfigError(f"{key}: the table has no column {name!r}; {hint}it has {', '.join(schema.names)}")


def select_read(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return these columns of a table; and `__unread`, which says why rows could not be read, if it has it."""
    return table.select([*names, *(name for name in (UNREAD,) if name in table.column_names)])
