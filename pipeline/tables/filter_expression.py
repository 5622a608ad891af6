"""`input.filter`: conditions on columns, as in "source == 'coco' and width > 100", for pyarrow."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ALLOWED = (
    "a filter is made of columns, numbers, strings, lists, ==, !=, <, <=, >, >=, in, not in, is None, is not None, "
    "and, or, not"
)


@dataclass(frozen=True)
class Filter:
    """A filter that was understood. A comparison with null is neither true nor false, as in SQL."""

    text: str

    def __post_init__(self) -> None:
        """Raises ValueError in one line for what is no filter."""
        self.pyarrow()

    def columns(self) -> list[str]:
        """The columns that it names."""
        named: dict[str, None] = {}
        _Builder(lambda name: (named.setdefault(name), pc.field(name))[1]).build(self.text)
        return list(named)

    def pyarrow(self) -> pc.Expression:
        """As pyarrow takes it."""
        return _Builder(pc.field).build(self.text)


@dataclass
class _Builder:
    """Python syntax -> an expression made by `column`."""

    column: Callable[[str], Any]

    def build(self, text: str) -> Any:
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{text!r} is no condition: {error.args[0]}") from None
        return self._condition(tree.body)

    def _condition(self, node: ast.expr) -> Any:
        if isinstance(node, ast.BoolOp):
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return functools.reduce(join, map(self._condition, node.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._condition(node.operand)
        if isinstance(node, ast.Name):  # a column of true and false
            return self.column(node.id)
        if not isinstance(node, ast.Compare):
            raise ValueError(f"{ast.unparse(node)!r} is no condition; {_ALLOWED}")
        sides = [node.left, *node.comparators]
        parts = [self._compare(a, op, b) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)]
        return functools.reduce(operator.and_, parts)

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        a, b = self._value(left), self._value(right)
        if isinstance(left, ast.Name) or isinstance(right, ast.Name):
            if type(op) in _COMPARE and a is not None and b is not None:
                return _COMPARE[type(op)](a, b)
            if isinstance(op, (ast.In, ast.NotIn)) and isinstance(b, list) and b and isinstance(left, ast.Name):
                found = a.isin(b)
                return found if isinstance(op, ast.In) else ~found
            if isinstance(op, (ast.Is, ast.IsNot)) and b is None:
                return a.is_null() if isinstance(op, ast.Is) else ~a.is_null()
        raise ValueError(f"{ast.unparse(ast.Compare(left, [op], [right]))!r} is not allowed; {_ALLOWED}")

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return self.column(node.id)
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed; {_ALLOWED}") from None
