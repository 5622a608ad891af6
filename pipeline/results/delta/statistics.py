"""The statistics of a data file as the log of a Delta Lake table holds them: by which engines skip files.

Bounds stand there for every column that can have some, or for none: deltalake's `to_pyarrow_dataset`, through which
DuckDB and pandas read, takes the missing bounds of one column beside those of another for a file without a match.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.results.delta.types import is_list
from vilt.common.counts import counted

MOST_CHARACTERS = 64  # of a string that stands in the log
LAST_CHARACTER = "\U0010ffff"


class Leaf(NamedTuple):
    """A column of a Parquet file that is in no list: its name and those above it, its type, its statistics.

    Attributes:
        nulls: How many values are null; None if the file does not say.
        bounds: The least and greatest value; None if the file does not say, or all values are null.
    """

    path: tuple[str, ...]
    kind: pa.DataType
    nulls: int | None
    bounds: tuple[Any, Any] | None


def leaves(metadata: pq.FileMetaData) -> list[Leaf]:
    """Return the columns of a file that are in no list.

    They are those of the Arrow schema, depth first: names are never split at dots, since a column `a.b` may stand
    beside a column `a` with a field `b`.
    """
    paths = [one for field in metadata.schema.to_arrow_schema() for one in _paths(field, ())]
    if len(paths) != metadata.num_columns:
        raise ValueError(f"{counted(metadata.num_columns, 'column')} of Parquet, {len(paths)} by the schema")
    return [_leaf(metadata, number, *one) for number, one in enumerate(paths) if one is not None]


def statistics_json(metadata: pq.FileMetaData, finite: Collection[str] = ()) -> str:
    """Return the statistics of a file by its footer, as the log holds them.

    Args:
        metadata: The footer.
        finite: Names of the columns of floats that hold no NaN, which Parquet's bounds leave out.
    """
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, Any] = {}
    complete = True
    for leaf in leaves(metadata):
        if leaf.nulls is not None:
            _put(nulls, leaf.path, leaf.nulls)
        if leaf.nulls == metadata.num_rows or pa.types.is_binary(leaf.kind):  # for which readers expect no bounds
            continue
        bounds = _in_log(leaf, finite)
        if bounds is None or leaf.nulls is None:
            complete = False
            continue
        _put(low, leaf.path, bounds[0])
        _put(high, leaf.path, bounds[1])
    bounded = {"minValues": low, "maxValues": high} if complete and low else {}
    found = {"numRecords": metadata.num_rows, **bounded, "nullCount": nulls}
    return json.dumps(found, ensure_ascii=False)  # deltalake takes the escapes of U+20000 for U+10000


def _paths(field: pa.Field, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], pa.DataType] | None]:
    """Yield the path and type of each column of Parquet that a field has, depth first; None for what is in a list."""
    path = (*above, field.name)
    if pa.types.is_struct(field.type):
        for part in field.type:
            yield from _paths(part, path)
    elif pa.types.is_map(field.type):
        yield from (None for part in (field.type.key_field, field.type.item_field) for _ in _paths(part, path))
    elif is_list(field.type):
        yield from (None for _ in _paths(field.type.value_field, path))
    else:
        yield path, field.type


def _leaf(metadata: pq.FileMetaData, number: int, path: tuple[str, ...], kind: pa.DataType) -> Leaf:
    """Return column `number` of a file with the statistics of all its row groups."""
    chunks = [metadata.row_group(group).column(number).statistics for group in range(metadata.num_row_groups)]
    if any(chunk is None or not chunk.has_null_count for chunk in chunks):
        return Leaf(path, kind, None, None)
    nulls = sum(chunk.null_count for chunk in chunks)
    filled = [chunk for chunk in chunks if chunk.num_values]
    if not filled or not all(chunk.has_min_max for chunk in filled):
        return Leaf(path, kind, nulls, None)
    try:
        bounds = min(chunk.min for chunk in filled), max(chunk.max for chunk in filled)
    except (OverflowError, ValueError):  # times before the year 1 or after 9999, which Python has no value for
        return Leaf(path, kind, nulls, None)
    return Leaf(path, kind, nulls, bounds)


def _in_log(leaf: Leaf, finite: Collection[str]) -> tuple[Any, Any] | None:
    """Return the bounds of a column as JSON values; None if the log cannot hold them exactly."""
    if leaf.bounds is None:
        return None
    least, most = leaf.bounds
    types = pa.types
    if types.is_signed_integer(leaf.kind) or types.is_boolean(leaf.kind):
        return least, most
    if types.is_string(leaf.kind):
        if len(most) > MOST_CHARACTERS:
            most, rest = most[:MOST_CHARACTERS] + LAST_CHARACTER, most[MOST_CHARACTERS:]
            if rest.startswith(LAST_CHARACTER):
                return None
        return least[:MOST_CHARACTERS], most
    if types.is_floating(leaf.kind) and leaf.path[0] in finite and math.isfinite(least) and math.isfinite(most):
        return least, most
    if isinstance(least, datetime.date) and isinstance(most, datetime.date):  # a datetime is one, too
        return _iso(least), _iso(most)
    return None


def _iso(value: datetime.date) -> str:
    """Return a date or time as the log spells it."""
    text = value.isoformat()
    return text.replace("+00:00", "Z")


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
