"""The types in which a Delta Lake table holds columns.

| Arrow | Delta |
| --- | --- |
| uint8, uint16, uint32 | the next wider signed integer |
| uint64 | decimal(20, 0) |
| float16 | float |
| timestamp with a zone | timestamp, in microseconds since 1970 UTC |
| timestamp without a zone | timestamp_ntz, in microseconds |
| dictionaries, views, large and fixed-size types | their plain counterparts |
| null | string, until the column has a type |

Times of day, durations, intervals, unions, decimals of more than 38 digits and structs without a field have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from pipeline.common.errors import ConfigError

NOT_IN_NAMES = set(" ,;{}()\n\t=\0")
DIGITS = 38  # of a decimal
EXACT_INTEGER_BITS = {16: 11, 32: 24, 64: 53}  # bits of a float -> bits of the integers that it holds, all of them


def delta_type(kind: pa.DataType, null: pa.DataType | None = None) -> pa.DataType:
    """Return the type in which a Delta table holds values of `kind`.

    Args:
        kind: Any Arrow type.
        null: What takes the place of the null type; default: string.

    Raises:
        TypeError: A Delta table has no such type.
    """
    types = pa.types

    def inner(part: pa.DataType) -> pa.DataType:
        return delta_type(part, null)

    if types.is_null(kind):
        return pa.string() if null is None else null
    if isinstance(kind, pa.BaseExtensionType):
        return inner(kind.storage_type)
    if types.is_dictionary(kind):
        return inner(kind.value_type)
    if types.is_unsigned_integer(kind):
        return {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}.get(kind.bit_width, pa.decimal128(20, 0))
    if types.is_float16(kind):
        return pa.float32()
    if is_text(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if types.is_date64(kind):
        return pa.date32()
    if types.is_decimal(kind) and 0 <= kind.scale <= kind.precision <= DIGITS:
        return pa.decimal128(kind.precision, kind.scale)
    if is_list(kind):
        return pa.list_(inner(kind.value_type))
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(one.name, inner(one.type)) for one in kind])
    if types.is_map(kind):
        return pa.map_(inner(kind.key_type), inner(kind.item_type))
    plain: list[Callable[[pa.DataType], bool]] = [
        types.is_signed_integer, types.is_float32, types.is_float64, types.is_boolean, types.is_binary, types.is_date32
    ]  # fmt: skip
    if any(check(kind) for check in plain):
        return kind
    raise TypeError(f"{kind} has no type in a Delta table")


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of this type are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether values of this type are lists."""
    types = pa.types
    checks = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    return any(check(kind) for check in checks)


def delta_schema(columns: pa.Schema, added: Iterable[str] = (), null: pa.DataType | None = None) -> pa.Schema:
    """Return the columns in the types of a Delta table.

    Args:
        columns: The user's columns, as they are written.
        added: Names of the columns that the job adds, which no column of the user may have in another spelling.
        null: See `delta_type`.

    Raises:
        ConfigError: Some columns do not fit; the message names all of them.
    """
    problems = [f"{path!r}: {why}" for path, why in _problems(columns, added)]
    if problems:
        raise ConfigError(
            f"input.columns: a Delta table cannot hold {'; '.join(problems)}. List the columns to carry without "
            f"{'it' if len(problems) == 1 else 'them'} in input.columns, or set output.format=parquet"
        )
    return pa.schema([pa.field(column.name, delta_type(column.type, null)) for column in columns])


def _problems(columns: pa.Schema, added: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the columns and fields that a Delta table cannot hold, and why."""
    spellings = {name.lower(): name for name in added}
    for column in columns:
        other = spellings.setdefault(column.name.lower(), column.name)
        if other != column.name:
            yield column.name, f"Delta Lake ignores case, and there is a column {other!r}"
        yield from _field_problems(column, column.name)


def _field_problems(field: pa.Field, path: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a column, or with a field of it; path: its name, and those above it."""
    if not field.name or set(field.name) & NOT_IN_NAMES:
        yield (
            path,
            "names are not empty and hold no space, comma, semicolon, brace, parenthesis, tab, line break, NUL or =",
        )
    kind = field.type
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    if pa.types.is_struct(kind) and kind.num_fields:
        spellings = Counter(one.name.lower() for one in kind)
        for one in kind:
            if spellings[one.name.lower()] > 1:
                yield f"{path}.{one.name}", "Delta Lake ignores case, and the struct has another field of this name"
            yield from _field_problems(one, f"{path}.{one.name}")
    elif pa.types.is_map(kind):
        if re.search(r"timestamp\[\w+\](?!, tz)", str(kind)):
            yield (
                path,
                "times without a zone in a map make a table that deltalake cannot read",
            )
        yield from _field_problems(pa.field("key", kind.key_type), f"{path}.key")
        yield from _field_problems(pa.field("value", kind.item_type), f"{path}.value")
    elif is_list(kind):
        yield from _field_problems(pa.field("element", kind.value_type), f"{path}.element")
    else:
        try:
            delta_type(kind)
        except TypeError as error:
            yield path, str(error)


def evolve(table: pa.Schema, columns: pa.Schema) -> pa.Schema:
    """Return the types of a Delta table's columns once it holds these columns, too; those that are new come last.

    A column keeps the table's type if that holds every new value, else it takes the new one: the table's data files
    are then to be rewritten.

    Args:
        table: The columns of the table.
        columns: The columns of all rows that the table will hold, in the types of `delta_schema`.

    Raises:
        ConfigError: A column is in the table in another spelling.
    """
    spellings = {name.lower(): name for name in table.names}
    other = [(name, spellings[name.lower()]) for name in columns.names if spellings.get(name.lower(), name) != name]
    if other:
        pairs = ", ".join(f"{name!r} beside {known!r}" for name, known in other)
        raise ConfigError(
            f"input.columns: Delta Lake ignores case, and the table of results would hold {pairs}: rename the new "
            "columns, leave them out, or write to another output.path"
        )
    out = {field.name: field.type for field in table}
    for field in columns:
        if field.name not in out or not holds(out[field.name], field.type):
            out[field.name] = field.type
    return pa.schema(list(out.items()))


def holds(wide: pa.DataType, kind: pa.DataType) -> bool:
    """Return whether every value of the type `kind` is, as it is, a value of the Delta type `wide`."""
    types = pa.types
    if kind == wide or types.is_null(kind):
        return True
    if types.is_dictionary(kind):
        return holds(wide, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return holds(wide, kind.storage_type)
    if is_list(wide) and is_list(kind):
        return holds(wide.value_type, kind.value_type)
    if types.is_struct(wide) and types.is_struct(kind):
        fields = {one.name: one.type for one in wide}
        return all(one.name in fields and holds(fields[one.name], one.type) for one in kind)
    if types.is_map(wide) and types.is_map(kind):
        return holds(wide.key_type, kind.key_type) and holds(wide.item_type, kind.item_type)
    return bool(_holds_plain(wide, kind))


def _holds_plain(wide: pa.DataType, kind: pa.DataType) -> object:
    """Do as `holds` does, for types without parts."""
    types = pa.types
    if types.is_string(wide):
        return is_text(kind)
    if types.is_binary(wide):
        return types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind)
    if types.is_timestamp(wide) and types.is_timestamp(kind):
        return kind.unit == "us" and (wide.tz is None) == (kind.tz is None)
    if types.is_integer(kind):
        bits = kind.bit_width - types.is_signed_integer(kind)
        if types.is_decimal(wide):
            return wide.precision - wide.scale >= len(str(2**bits))
        if types.is_floating(wide):
            return bits <= EXACT_INTEGER_BITS[wide.bit_width]
        return types.is_signed_integer(wide) and bits < wide.bit_width
    if types.is_floating(kind):
        return types.is_floating(wide) and kind.bit_width <= wide.bit_width
    if types.is_decimal(kind) and types.is_decimal(wide):
        return wide.scale >= kind.scale and wide.precision - wide.scale >= kind.precision - kind.scale
    return False
