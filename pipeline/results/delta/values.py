"""Convert columns to the types of a Delta Lake table: each value exactly, or not at all.

Only bytes that are no UTF-8 change: U+FFFD takes their place, since engines refuse to read a file that has them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.results.delta.types import delta_type, is_list, is_text


def as_delta(rows: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the rows in the types of a Delta table.

    Args:
        rows: Any columns.
        types: Types of columns that the table has; others take their `delta_type`.

    Raises:
        pa.ArrowException: A value does not fit exactly.
    """
    kinds = [types.get(column.name) or delta_type(column.type) for column in rows.schema]
    columns = [convert(rows[number], kind) for number, kind in enumerate(kinds)]
    return pa.table(columns, schema=pa.schema(list(zip(rows.column_names, kinds, strict=True))))


def fit_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows with the columns of `schema`, in its order and types; those that are missing are null.

    Raises:
        pa.ArrowException: A value does not fit exactly.
    """
    columns = [
        convert(rows[field.name], field.type)
        if field.name in rows.column_names
        else pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def convert(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the column as values of the Delta type `kind`.

    Raises:
        pa.ArrowException: A value does not fit exactly.
    """
    return pa.chunked_array([_convert(chunk, kind) for chunk in column.chunks], kind)


def _convert(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Do as `convert` does, for one chunk."""
    types = pa.types
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count == len(values):
        return pa.nulls(len(values), kind)
    if types.is_struct(kind) and types.is_struct(values.type):
        return _convert_struct(values, kind)
    if types.is_map(kind) and types.is_map(values.type):
        offsets, absent, inner = _parts(values)
        keys, items = _convert(inner.field(0), kind.key_type), _convert(inner.field(1), kind.item_type)
        return pa.MapArray.from_arrays(offsets, keys, items, type=kind, mask=absent)
    if types.is_list(kind) and is_list(values.type):
        offsets, absent, inner = _parts(values)
        return pa.ListArray.from_arrays(offsets, _convert(inner, kind.value_type), type=kind, mask=absent)
    if is_text(kind) and is_text(values.type):
        return _valid_text(values if values.type == kind else pc.cast(values, kind))
    if types.is_timestamp(kind) and types.is_timestamp(values.type) and (kind.tz is None) != (values.type.tz is None):
        raise pa.ArrowInvalid(f"Casting from {values.type} to {kind} would move times to another zone")
    return values if values.type == kind else pc.cast(values, kind)


def _convert_struct(values: pa.StructArray, kind: pa.StructType) -> pa.Array:
    """Convert field by field; fields that are missing are null."""
    names = [one.name for one in values.type]
    for name in set(names) - {one.name for one in kind}:
        left = values.field(names.index(name))
        if left.null_count < len(left):
            raise pa.ArrowInvalid(f"a value has a field {name!r}, which {kind} lacks")
    fields = [
        _convert(values.field(names.index(one.name)), one.type)
        if one.name in names
        else pa.nulls(len(values), one.type)
        for one in kind
    ]
    return pa.StructArray.from_arrays(fields, fields=list(kind), mask=values.is_null())


def _parts(values: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Take lists or maps apart.

    Returns:
        offsets: int32 (n + 1,), into the elements.
        absent: bool (n,), which lists are null.
        elements: Those of the lists that are not null, end to end.
    """
    absent = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_map(values.type):
        lengths = np.diff(values.offsets.to_numpy())
        elements = values.cast(pa.list_(pa.struct([values.type.key_field, values.type.item_field]))).flatten()
    else:
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        elements = values.flatten()
    offsets = np.cumsum(np.append(0, np.where(absent, 0, lengths)))
    return pa.array(offsets, pa.int32()), pa.array(absent), elements


def _valid_text(values: pa.StringArray) -> pa.Array:
    """Replace bytes that are no UTF-8."""
    try:
        values.validate(full=True)
        return values
    except pa.ArrowInvalid:
        data = pc.cast(values, pa.binary()).to_pylist()
        return pa.array([one if one is None else one.decode(errors="replace") for one in data], values.type)
