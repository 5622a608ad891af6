"""The types in which a Delta Lake table holds columns: signed integers, microseconds, plain strings and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.errors import ConfigError

NOT_IN_NAMES = set(" ,;{}()\n\t=")


def delta_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a Delta table holds values of `kind`. Raises TypeError where there is none."""
    types = pa.types
    if types.is_dictionary(kind):
        return delta_type(kind.value_type)
    if types.is_unsigned_integer(kind):
        return {8: pa.int16(), 16: pa.int32()}.get(kind.bit_width, pa.int64())
    if types.is_float16(kind):
        return pa.float32()
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if types.is_date64(kind):
        return pa.date32()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(delta_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(one.name, delta_type(one.type)) for one in kind])
    if types.is_map(kind):
        return pa.map_(delta_type(kind.key_type), delta_type(kind.item_type))
    plain: list[Callable[[pa.DataType], bool]] = [
        types.is_signed_integer, types.is_float32, types.is_float64, types.is_boolean, types.is_string,
        types.is_binary, types.is_date32, types.is_decimal128,
    ]  # fmt: skip
    if any(check(kind) for check in plain):
        return kind
    raise TypeError(f"{kind} has no type in a Delta table")


def delta_schema(schema: pa.Schema, table: pa.Schema) -> pa.Schema:
    """The user's columns as a Delta table holds them; those that `table` has, in its types.

    Raises ConfigError naming the column that does not fit.
    """
    out = []
    for column in schema:
        if set(column.name) & NOT_IN_NAMES:
            raise ConfigError(f"input.columns: {column.name!r} is no name for a column of a Delta table: leave it out")
        try:
            kind = delta_type(column.type)
        except TypeError as error:
            raise ConfigError(f"input.columns: column {column.name!r}: {error}: leave it out") from None
        if column.name in table.names and (before := table.field(column.name).type) != kind:
            if not _widens(kind, before):
                raise ConfigError(
                    f"input.columns: column {column.name!r} is {kind} in the new files and {before} in the table of "
                    "results; leave it out, or write to another output.path"
                )
            kind = before
        out.append(pa.field(column.name, kind))
    return pa.schema(out)


def _widens(kind: pa.DataType, wide: pa.DataType) -> bool:
    """Whether every value of `kind` is one of `wide`."""
    if not pa.types.is_primitive(kind) or not pa.types.is_primitive(wide):
        return False
    both = [pa.schema([("x", one)]) for one in (kind, wide)]
    try:
        return pa.unify_schemas(both, promote_options="permissive").field(0).type == wide
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False


def as_delta(rows: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """`rows` in the types of a Delta table. types: of columns whose type is known."""
    kinds = [types.get(column.name) or delta_type(column.type) for column in rows.schema]
    columns = [_cast(rows[i], kind) for i, kind in enumerate(kinds)]
    return pa.table(columns, schema=pa.schema(zip(rows.column_names, kinds, strict=True)))


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Of uint64, the same 64 bits."""
    return column if column.type == kind else pc.cast(column, kind, safe=column.type != pa.uint64())
