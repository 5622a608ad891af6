"""The texts of a column, without those that are too long and lists that are too long, which never become Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.error_codes import Failure, value_or_failure, values_or_failures
from pipeline.config.limits import LimitsConfig
from pipeline.tables.schemas import is_list


def text_values(column: pa.ChunkedArray, limits: LimitsConfig) -> list[Any]:
    """Return what a column of texts, or of lists of texts, holds in each row.

    A failure takes the place of a text that is not UTF-8 or has more than `limits.text_bytes`, and of a list of more
    than `limits.texts_per_row`.
    """
    return [value for chunk in column.chunks for value in _values(chunk, limits)]


def _values(chunk: pa.Array, limits: LimitsConfig) -> list[Any]:
    """Return what an array holds in each row."""
    if pa.types.is_dictionary(chunk.type):  # a long value is looked at once
        values = [*_values(chunk.dictionary, limits), None]
        return [values[-1 if index is None else index] for index in chunk.indices.to_pylist()]
    many, long = text_counts(chunk) > limits.texts_per_row, _longest(chunk) > limits.text_bytes
    if not (many.any() or long.any()):
        return values_or_failures(chunk, "text_invalid")
    return [
        _too_many(value, limits) if many[i] else _short(value, limits) if long[i] else _value(value)
        for i, value in enumerate(chunk)
    ]


def text_counts(chunk: pa.Array) -> np.ndarray:
    """Return how many texts each row of an array has, int64; 0 for a null, 1 for a text."""
    if not is_list(chunk.type):
        return np.ones(len(chunk), np.int64)
    counts: np.ndarray = pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)
    return counts.astype(np.int64)


def _longest(chunk: pa.Array) -> np.ndarray:
    """Return the bytes of each row's longest text, int64."""
    if pa.types.is_dictionary(chunk.type):  # whose values are not repeated to be measured
        return np.append(_longest(chunk.dictionary), 0)[pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False)]
    if not is_list(chunk.type):
        lengths: np.ndarray = pc.fill_null(pc.binary_length(chunk), 0).to_numpy(zero_copy_only=False)
        return lengths.astype(np.int64)
    out, counts = np.zeros(len(chunk), np.int64), text_counts(chunk)
    np.maximum.at(out, np.repeat(np.arange(len(chunk)), counts), _longest(chunk.flatten()))
    return out


def _value(value: pa.Scalar) -> Any:
    return value_or_failure(value, "text_invalid")


def _too_many(value: pa.ListScalar, limits: LimitsConfig) -> Failure:
    return Failure(
        "texts_too_many", f"{len(value.values):,} texts, more than {limits.texts_per_row:,} (limits.texts_per_row)"
    )


def _short(value: pa.Scalar, limits: LimitsConfig) -> Any:
    """Return the failure of a text that is too long, or a list with failures in place of such texts."""
    if isinstance(value, pa.ListScalar):  # large lists, too
        return _values(value.values, limits)
    size = value.as_buffer().size
    return Failure("text_too_long", f"{size:,} bytes, more than {limits.text_bytes:,} (limits.text_bytes)")
