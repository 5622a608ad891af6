"""The statistics of a data file as the log of a Delta Lake table holds them: by which engines skip files."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.results.delta_types import is_list

MOST_CHARACTERS = 128  # of a string that stands in the log


def statistics_json(metadata: pq.FileMetaData, finite: Collection[str] = ()) -> str:
    """Return the statistics of a file by its footer.

    Args:
        metadata: The footer. Its columns are those of the Arrow schema, depth first: names are never split at dots,
            since a column `a.b` may stand beside a column `a` with a field `b`.
        finite: Names of the columns of floats that hold no NaN, which Parquet's bounds leave out.
    """
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, Any] = {}
    leaves = [leaf for field in metadata.schema.to_arrow_schema() for leaf in _leaves(field, ())]
    if len(leaves) != metadata.num_columns:
        raise ValueError(f"{metadata.num_columns} columns of Parquet, {len(leaves)} by the schema")
    for number, leaf in enumerate(leaves):
        if leaf is None:
            continue
        path, kind = leaf
        chunks = [metadata.row_group(group).column(number).statistics for group in range(metadata.num_row_groups)]
        if any(chunk is None or not chunk.has_null_count for chunk in chunks):
            continue
        _put(nulls, path, sum(chunk.null_count for chunk in chunks))
        bounds = [chunk for chunk in chunks if chunk.has_min_max]
        rows_with_values = sum(chunk.num_values > 0 for chunk in chunks)
        if not bounds or len(bounds) < rows_with_values or not _has_bounds(kind, path, finite):
            continue
        least, most = min(one.min for one in bounds), max(one.max for one in bounds)
        if _fits(least) and _fits(most):
            _put(low, path, least)
            _put(high, path, most)
    return json.dumps({"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _leaves(field: pa.Field, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], pa.DataType] | None]:
    """Yield the path and type of each column of Parquet that a field has, depth first; None for what is in a list."""
    path = (*above, field.name)
    if pa.types.is_struct(field.type):
        for part in field.type:
            yield from _leaves(part, path)
    elif pa.types.is_map(field.type):
        yield from (None for part in (field.type.key_field, field.type.item_field) for _ in _leaves(part, path))
    elif is_list(field.type):
        yield from (None for _ in _leaves(field.type.value_field, path))
    else:
        yield path, field.type


def _has_bounds(kind: pa.DataType, path: tuple[str, ...], finite: Collection[str]) -> bool:
    """Return whether the log may hold the least and greatest value of a column."""
    if pa.types.is_floating(kind):
        return len(path) == 1 and path[0] in finite
    return pa.types.is_signed_integer(kind) or pa.types.is_string(kind)


def _fits(value: object) -> bool:
    """Return whether a bound can stand in the log as it is."""
    if isinstance(value, str):
        return len(value) <= MOST_CHARACTERS
    return not isinstance(value, float) or math.isfinite(value)


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
