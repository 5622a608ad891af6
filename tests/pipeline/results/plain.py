"""Values of Arrow columns in one spelling, whatever type holds them: to compare a table with what became of it."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa


def plain(value: Any) -> Any:
    """The value as something that is equal if and only if it is the same value."""
    if isinstance(value, pd.Timestamp):
        assert value.nanosecond == 0
        value = value.to_pydatetime()
    if isinstance(value, datetime.datetime):
        return ("time", value.astimezone(datetime.timezone.utc) if value.tzinfo else value.isoformat())
    if isinstance(value, (bool, np.bool_)):
        return ("flag", bool(value))
    if isinstance(value, (int, float, decimal.Decimal, np.floating)):
        return (
            "nan"
            if value != value
            else decimal.Decimal(value if isinstance(value, (int, decimal.Decimal)) else float(value))
        )
    if isinstance(value, dict):
        return tuple((key, plain(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(plain(one) for one in value)
    return value


def values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """The values of a column."""
    return [plain(one) for one in column.to_pylist()]
