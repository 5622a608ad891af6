"""The types of JSON values, and JSON values as columns of these types.

JSON has one type of numbers. Integers become int64, or uint64 if they need it; integers and fractions in one column
become double, if double holds all of the integers. A column whose values have no common type, or would not survive in
it, is unreadable: a job that does not carry it runs without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.schemas import cast

EXACT = 2**53  # all integers up to here are exact as double
Row = dict[str, Any]


class TypeConflictError(ValueError):
    """Values have no common type."""


def infer(value: Any) -> pa.DataType:
    """Return the type of one JSON value. Raises TypeConflictError."""
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return pa.int64() if value < 2**63 else pa.uint64()
        raise TypeConflictError(f"{value} is an integer beyond 64 bits; write it as a string")
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        kind = pa.null()
        for one in value:
            kind = join(kind, infer(one))
        return pa.list_(kind)
    return pa.struct([(name, infer(one)) for name, one in value.items()])


def join(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """Return the type that holds values of both. Raises TypeConflictError."""
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        return pa.uint64()
    if _is_number(a) and _is_number(b):
        return pa.float64()
    if pa.types.is_list(a) and pa.types.is_list(b):
        return pa.list_(join(a.value_type, b.value_type))
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        fields = {one.name: one.type for one in a}
        for one in b:
            fields[one.name] = join(fields.get(one.name, pa.null()), one.type)
        return pa.struct(list(fields.items()))
    raise TypeConflictError(f"{_named(b)} here and {_named(a)} before")


@dataclass
class JsonColumn:
    """A column as far as it was read: its type, its integers, and why it cannot be read."""

    type: pa.DataType = field(default_factory=pa.null)
    lowest: int = 0
    highest: int = 0
    rounds: bool = False  # integers and fractions have met
    fault: str | None = None

    def add(self, kind: pa.DataType, lowest: int, highest: int, where: str) -> None:
        """Take in values of a type. where: of what file or line they are, for messages."""
        if self.fault:
            return
        try:
            joined = join(self.type, kind)
        except TypeConflictError as error:
            self.fault = f"{where}: {error}"
            return
        self.rounds = self.rounds or _rounds(self.type, joined) or _rounds(kind, joined)
        self.type, self.lowest, self.highest = joined, min(self.lowest, lowest), max(self.highest, highest)
        if self.rounds and max(-self.lowest, self.highest) > EXACT:
            largest = self.highest if self.highest > EXACT else self.lowest
            self.fault = f"{where}: integers such as {largest} stand beside fractions, and one number holds not both"
        elif self.lowest < 0 and self.highest >= 2**63:
            self.fault = f"{where}: {self.lowest} and {self.highest} have no common type of 64 bits"


@dataclass
class JsonColumns:
    """The columns of JSON objects, in the order in which they were first seen."""

    columns: dict[str, JsonColumn] = field(default_factory=dict)

    def add_table(self, table: pa.Table) -> list[str]:
        """Take in rows that are a table already. Return the columns that cannot be read because of these rows."""
        readable = [name for name in table.column_names if not self._column(name).fault]
        for name in readable:
            self._column(name).add(table[name].type, *_range(table[name]), "")
        return [name for name in readable if self._column(name).fault]

    def locate(self, names: Iterable[str], rows: Sequence[tuple[str, Row]]) -> None:
        """Find the first of the rows because of which columns cannot be read, so that the reason names it."""
        for name in names:
            self._column(name).fault = None
            self._add_each(name, [(where, row[name]) for where, row in rows if name in row])

    def add_rows(self, rows: Sequence[tuple[str, Row]]) -> None:
        """Take in rows, each with the line or member where it stands."""
        for name in dict.fromkeys(name for _, row in rows for name in row):
            values = [row.get(name) for _, row in rows]
            try:
                array = pa.array(values)
                exact = not pa.types.is_nested(array.type) or "double" not in str(array.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
                exact = False
            if exact:
                self._column(name).add(array.type, *_range(array), rows[0][0])
            else:  # within lists and objects pyarrow takes true beside 0.5 for 1.0
                self._add_each(name, [(where, row[name]) for where, row in rows if name in row])

    def merge(self, other: JsonColumns, where: str) -> None:
        """Take in the columns of another file."""
        for name, column in other.columns.items():
            mine = self._column(name)
            mine.rounds = mine.rounds or column.rounds
            mine.fault = mine.fault or column.fault
            mine.add(column.type, column.lowest, column.highest, where)

    @property
    def schema(self) -> pa.Schema:
        """Return the columns that can be read. An object that never has a field is null."""
        return pa.schema([(name, _with_fields(one.type)) for name, one in self.columns.items() if not one.fault])

    @property
    def unreadable(self) -> dict[str, str]:
        """Return the columns that cannot be read, and why."""
        return {name: one.fault for name, one in self.columns.items() if one.fault}

    def _column(self, name: str) -> JsonColumn:
        return self.columns.setdefault(name, JsonColumn())

    def _add_each(self, name: str, values: Iterable[tuple[str, Any]]) -> None:
        for where, value in values:
            column = self._column(name)
            try:
                column.add(infer(value), *_integers(value), where)
            except TypeConflictError as error:
                column.fault = column.fault or f"{where}: {error}"


def to_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return JSON objects as rows of a schema that `JsonColumns` found. A field that an object lacks is null.

    Half an emoji, a lone surrogate, is kept as a string that is not UTF-8, which fails row by row where it is read; in
    a field of an object it becomes U+FFFD.
    """
    if not len(schema):
        return pa.table({"": pa.nulls(len(rows))}).select([])
    return pa.table([_to_array([row.get(one.name) for row in rows], one) for one in schema], schema=schema)


def _to_array(values: list[Any], column: pa.Field) -> pa.Array:
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if has_null(kind):
        values = [_fitting(value, kind) for value in values]
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        pass
    if pa.types.is_string(kind):
        return cast(pa.array([_encoded(value) for value in values], pa.binary()), column, "")
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        nested = [None if value is None else [_encoded(one) for one in value] for value in values]
        return cast(pa.array(nested, pa.list_(pa.binary())), column, "")
    return pa.array([_fitting(value, kind) for value in values], kind)


def _encoded(text: str | None) -> bytes | None:
    """Return the bytes of a text, which are UTF-8 only if no lone surrogate is in it."""
    if text is None:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        data = text.encode(errors="surrogateescape")  # as the file holds them, which is not UTF-8
        data.decode()
    except UnicodeDecodeError:
        return data
    except UnicodeEncodeError:
        pass
    return text.encode(errors="surrogatepass")  # escaped in JSON; two of them may look like the bytes of a character


def _fitting(value: Any, kind: pa.DataType) -> Any:
    """Return a value with nulls for objects without fields, and without lone surrogates."""
    if value is None or pa.types.is_null(kind):
        return None
    if pa.types.is_list(kind):
        return [_fitting(one, kind.value_type) for one in value]
    if pa.types.is_struct(kind):
        return {one.name: _fitting(value.get(one.name), one.type) for one in kind}
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def has_null(kind: pa.DataType) -> bool:
    """Return whether a type has a field of nulls within, in place of objects without fields."""
    if pa.types.is_list(kind):
        return has_null(kind.value_type)
    if pa.types.is_struct(kind):
        return any(has_null(one.type) for one in kind)
    return bool(pa.types.is_null(kind))


def _with_fields(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_with_fields(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(one.name, _with_fields(one.type)) for one in kind]) if kind.num_fields else pa.null()
    return kind


def _rounds(kind: pa.DataType, joined: pa.DataType) -> bool:
    """Return whether values of a type lose their integers in a joined type."""
    if pa.types.is_list(kind):
        return _rounds(kind.value_type, joined.value_type)
    if pa.types.is_struct(kind):
        return any(_rounds(one.type, joined.field(one.name).type) for one in kind)
    return bool(pa.types.is_integer(kind) and pa.types.is_floating(joined))


def _range(values: pa.Array | pa.ChunkedArray) -> tuple[int, int]:
    """Return the lowest and the highest integer in a column and its fields; 0 counts too."""
    if isinstance(values, pa.ChunkedArray):
        ranges = [_range(chunk) for chunk in values.chunks]
    elif pa.types.is_list(values.type):
        ranges = [_range(values.flatten())]
    elif pa.types.is_struct(values.type):
        ranges = [_range(one) for one in values.flatten()]
    elif pa.types.is_integer(values.type) and len(values) > values.null_count:
        found = pc.min_max(values).as_py()
        ranges = [(found["min"], found["max"])]
    else:
        ranges = []
    return min([0, *(low for low, _ in ranges)]), max([0, *(high for _, high in ranges)])


def _integers(value: Any) -> tuple[int, int]:
    """Return the lowest and the highest integer in a JSON value; 0 counts too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return min(0, value), max(0, value)
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    ranges = [_integers(one) for one in inner]
    return min([0, *(low for low, _ in ranges)]), max([0, *(high for _, high in ranges)])


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _named(kind: pa.DataType) -> str:
    """Return a type in JSON's words."""
    for check, name in (
        (pa.types.is_list, "a list"),
        (pa.types.is_struct, "an object"),
        (_is_number, "a number"),
        (pa.types.is_boolean, "true or false"),
        (pa.types.is_null, "null"),
    ):
        if check(kind):
            return name
    return "a string"
