"""Values of columns for people and for JSON, whatever a stranger's file holds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def python_value(value: pa.Scalar) -> Any:
    """Return a value in Python; what Python has no value for becomes a text, within lists and structs, too.

    So do strings that are not UTF-8, and times before the year 1, beyond the year 9999, or finer than microseconds.
    """
    if isinstance(value, pa.StructScalar) and value.is_valid:
        return {name: python_value(one) for name, one in value.items()}
    if isinstance(value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar) and value.is_valid:
        return [python_value(one) for one in value.values]
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return error.object.decode(errors="backslashreplace")
    except (ValueError, ArithmeticError):
        return _as_text(value)


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, see `python_value`."""
    try:
        return list(column.to_pylist())
    except (ValueError, ArithmeticError):
        return [python_value(value) for value in column]


def _as_text(value: pa.Scalar) -> str:
    try:
        return str(value.cast(pa.string()).as_py())
    except (pa.ArrowException, ValueError, ArithmeticError):
        return f"{value.type}"
