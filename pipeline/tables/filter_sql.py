"""SQL conditions -> pyarrow expressions.

pyarrow prunes row groups by their statistics with such an expression; what it could not evaluate while it reads is
refused. sqlglot parses, in DuckDB's dialect: DuckDB does not promise a stable form of its own parser's output.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from pipeline.common.errors import ConfigError
from pipeline.tables.schemas import require_column

Comparison = Callable[[pc.Expression, pc.Expression | pa.Scalar], pc.Expression]
_COMPARISONS: dict[type[exp.Expr], Comparison] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
# `1 < width` is `width > 1`.
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
# Not `~(a > b)`, which is true for a NaN that the statistics of a row group do not show.
_OPPOSITE: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.GTE,
    exp.LTE: exp.GT,
    exp.GT: exp.LTE,
    exp.GTE: exp.LT,
}
_ARGUMENTS = {"this", "expression", "expressions", "low", "high", "negate", "table"}  # of nodes, that are understood
_ALLOWED = (
    "a filter compares columns with numbers, 'texts', DATE '2026-01-31' and TIMESTAMP '2026-01-31 12:00:00' by "
    "=, <>, <, <=, >, >=, BETWEEN, IN (...), LIKE, IS NULL, joined by AND, OR, NOT"
)


def build(text: str, schema: pa.Schema) -> tuple[pc.Expression, tuple[str, ...]]:
    """Return the expression of a condition on the columns of `schema`, and the columns that it reads.

    Raises:
        ConfigError: See `pipeline.tables.filter_expression.parse_filter`.
    """
    try:
        statements = [one for one in sqlglot.parse(text, read="duckdb") if one is not None]
    except sqlglot.errors.ParseError as error:
        raise _not_sql(text, error.errors[0]["description"]) from None
    except sqlglot.errors.SqlglotError as error:
        raise _not_sql(text, str(error)) from None
    if len(statements) != 1:
        raise ConfigError(f"input.filter: {text!r} holds {len(statements)} conditions, not one; {_ALLOWED}")
    builder = _Builder(schema)
    return builder.condition(statements[0], negated=False), tuple(builder.names)


class _Builder:
    """Builds the expression and collects the columns.

    NOT is moved down to the comparisons, because pyarrow's `is_in` is false, and not null, for a null.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.names: dict[str, None] = {}

    def condition(self, node: exp.Expr, negated: bool) -> pc.Expression:
        """Return the expression of a node that is true or false."""
        if unknown := {name for name, value in node.args.items() if value} - _ARGUMENTS:
            raise _refused(node, f"is not supported ({', '.join(sorted(unknown))})")
        negated ^= bool(node.args.get("negate"))
        if isinstance(node, exp.Paren):
            return self.condition(node.this, negated)
        if isinstance(node, exp.Not):
            return self.condition(node.this, not negated)
        if isinstance(node, (exp.And, exp.Or)):
            join = operator.and_ if isinstance(node, exp.And) != negated else operator.or_
            return functools.reduce(join, (self.condition(side, negated) for side in _sides(node)))
        if isinstance(node, exp.Is):
            return self._is(node, negated)
        if isinstance(node, exp.In):
            return self._in(node, negated)
        if type(node) in _COMPARISONS:
            return self._compare(node, _OPPOSITE[type(node)] if negated else type(node))
        if isinstance(node, exp.Between):
            return self._between(node, negated)
        plain = self._plain(node)
        return ~plain if negated else plain

    def _plain(self, node: exp.Expr) -> pc.Expression:
        """Return the expression of a node for which pyarrow's `~` is SQL's NOT."""
        if isinstance(node, exp.Column):
            return self._boolean(node)
        if isinstance(node, (exp.Like, exp.ILike)):
            column, pattern = self._column(node.this, node), node.expression
            if not _is_text(_decoded(column.type)) or not pattern.is_string:
                raise _refused(node, "is not supported; LIKE compares a column of texts with a 'pattern'")
            return pc.match_like(pc.field(column.name), pattern.this, ignore_case=isinstance(node, exp.ILike))
        raise _refused(node, "is not supported")

    def _boolean(self, node: exp.Expr) -> pc.Expression:
        column = self._column(node, node)
        if not pa.types.is_boolean(column.type):
            raise _refused(node, f"is {column.type}, not true or false")
        return pc.field(column.name)

    def _between(self, node: exp.Between, negated: bool) -> pc.Expression:
        column = self._column(node.this, node)
        low, high = (self._value(node.args[side], column, node) for side in ("low", "high"))
        found = pc.field(column.name)
        return (found < low) | (found > high) if negated else (found >= low) & (found <= high)

    def _compare(self, node: exp.Expr, kind: type[exp.Expr]) -> pc.Expression:
        left, right = node.this.unnest(), node.expression.unnest()
        if type(left) in _COMPARISONS:
            raise _refused(node, "compares twice: join two comparisons by AND")
        if not isinstance(left, exp.Column):
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        column = self._column(left, node)
        if isinstance(right, exp.Column):
            if right.this.quoted and right.name not in self.schema.names:
                raise _refused(node, f"names no column: SQL writes texts in single quotes, as '{right.name}'")
            return _COMPARISONS[kind](pc.field(column.name), pc.field(self._column(right, node).name))
        return _COMPARISONS[kind](pc.field(column.name), self._value(right, column, node))

    def _is(self, node: exp.Is, negated: bool) -> pc.Expression:
        value = node.expression
        if isinstance(value, exp.Null):
            found = pc.field(self._column(node.this, node).name)
            return found.is_valid() if negated else found.is_null()
        if isinstance(value, exp.Boolean):
            found = self._boolean(node.this)
            if not negated:
                return found if value.this else ~found
            return (~found if value.this else found) | found.is_null()
        raise _refused(node, "is not supported: SQL says IS NULL and IS NOT NULL")

    def _in(self, node: exp.In, negated: bool) -> pc.Expression:
        column = self._column(node.this, node)
        if not node.expressions:
            raise _refused(node, "lists no value")
        values = [self._value(value, column, node) for value in node.expressions]
        try:
            listed = pa.array([value.as_py() for value in values], None if _numbers(values) else values[0].type)
        except pa.ArrowException:
            raise _refused(node, "lists values of several types") from None
        found = pc.field(column.name)
        return ~found.isin(listed) & found.is_valid() if negated else found.isin(listed)

    def _column(self, node: exp.Expr, whole: exp.Expr) -> pa.Field:
        """Return the column that a node names: SQL ignores case, but an exact name wins."""
        node = node.unnest()
        if not isinstance(node, exp.Column):
            raise _refused(whole, f"is not supported: {node.sql('duckdb')!r} is no column")
        if len(node.parts) > 1:
            raise _refused(whole, "is not supported: it names a field within a column")
        name = node.name
        if name not in self.schema.names:
            same = [other for other in self.schema.names if other.lower() == name.lower()]
            name = same[0] if len(same) == 1 else name
        require_column(self.schema, "input.filter", name)
        self.names[name] = None
        return self.schema.field(name)

    def _value(self, node: exp.Expr, column: pa.Field, whole: exp.Expr) -> pa.Scalar:
        """Return a literal in a type in which pyarrow compares it exactly with a column."""
        kind, node = _decoded(column.type), node.unnest()
        value = _literal(node, whole)
        differs = _refused(whole, f"compares {column.name!r}, which is {column.type}, with {node.sql('duckdb')}")
        try:
            if pa.types.is_temporal(kind):
                return _time(value, kind)
            if isinstance(node, exp.Cast) or isinstance(value, bool) != pa.types.is_boolean(kind):
                raise differs
            if _is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_uint64(kind):
                return pa.scalar(value, kind)
            if not isinstance(value, str) and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                return pa.scalar(value if isinstance(value, int) else float(value))
            if not isinstance(value, str) and pa.types.is_decimal(kind):
                return pa.scalar(Decimal(value))
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            raise differs from None
        raise differs


def _sides(node: exp.Expr) -> list[exp.Expr]:
    """Return the operands of a chain of AND, or of OR, without recursion: a chain may be long."""
    sides: list[exp.Expr] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if type(one) is type(node):
            waiting += [one.expression, one.this]
        else:
            sides.append(one)
    return sides


def _literal(node: exp.Expr, whole: exp.Expr) -> str | int | bool | Decimal:
    """Return the Python value of a literal; of a date or time its text."""
    if (
        isinstance(node, exp.Cast)
        and isinstance(node.this, exp.Literal)
        and node.to.is_type(*exp.DataType.TEMPORAL_TYPES)
    ):
        return str(node.this.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg):
        value = _literal(node.this.unnest(), whole)
        if not isinstance(value, (str, bool)):
            return -value
    if isinstance(node, exp.Literal):
        if node.is_string:
            return str(node.this)
        return int(node.this) if str(node.this).isdecimal() else Decimal(str(node.this))
    if isinstance(node, exp.Null):
        raise _refused(whole, "is never true: SQL says IS NULL and IS NOT NULL")
    raise _refused(whole, f"is not supported: {node.sql('duckdb')!r} is no value")


def _time(value: str | int | bool | Decimal, kind: pa.DataType) -> pa.Scalar:
    """Return a date or time in a column's own type; a time without a zone is UTC when the column has zones.

    Raises:
        pa.ArrowException: The text is no such time, or finer than the type.
        TypeError: It is no text at all.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value} is no time")
    if pa.types.is_date(kind):
        moment = pa.scalar(value).cast(pa.timestamp("us"))
        day = moment.cast(kind)
        if day.cast(pa.timestamp("us")) != moment:
            raise pa.ArrowInvalid("a date has no time of day")
        return day
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        try:
            naive = pa.scalar(value).cast(pa.timestamp(kind.unit))
        except pa.ArrowInvalid:  # it names a zone
            return pa.scalar(value).cast(kind)
        return naive.cast(pa.int64()).cast(kind)
    return pa.scalar(value).cast(kind)


def _decoded(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column that may be dictionary-encoded."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _numbers(values: list[pa.Scalar]) -> bool:
    """Return whether integers and floats may stand side by side in these values."""
    return all(pa.types.is_int64(value.type) or pa.types.is_float64(value.type) for value in values)


def _not_sql(text: str, why: str) -> ConfigError:
    return ConfigError(f"input.filter: {text!r} is not SQL: {' '.join(why.split())}; {_ALLOWED}")


def _refused(node: exp.Expr, why: str) -> ConfigError:
    return ConfigError(f"input.filter: {node.sql('duckdb')!r} {why}; {_ALLOWED}")
