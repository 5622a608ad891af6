"""Find some rows of a large table, by id or by key, and read little else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ROW_ID, ROW_KEY
from pipeline.common.row_ids import keys_of
from pipeline.common.row_ranges import row_key
from pipeline.common.shown_values import python_value
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.table import TableFiles

ID_ROWS = 2**17  # whose ids are read at a time
ROWS = 64  # of a Parquet row group, held at a time


def find_ids(table: TableFiles, id_column: str | None, ids: Collection[Any]) -> dict[Any, int]:
    """Return id -> key of the rows with one of these ids, the first of each id. Only the ids are read.

    Args:
        table: The table.
        id_column: The column of ids; None if they are hashes.
        ids: The ids, as Arrow gives them in Python; None finds nothing.
    """
    asked, out = [one for one in dict.fromkeys(ids) if one is not None], dict[Any, int]()
    for rows in read_columns(table, [id_column] if id_column else [], ID_ROWS):
        found = with_row_id(rows, id_column)
        try:
            wanted = keys_of(_as_ids(asked, found[ROW_ID].type))
        except (pa.ArrowException, TypeError, OverflowError):  # the column holds other ids now
            return {}
        at = pc.index_in(keys_of(found[ROW_ID]), wanted).combine_chunks()
        for i in np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False)):
            out.setdefault(asked[at[int(i)].as_py()], found[ROW_KEY][int(i)].as_py())
        if len(out) == len(asked):
            break
    return out


def _as_ids(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values as ids of a type."""
    if isinstance(kind, pa.BaseExtensionType):
        stored = [one.bytes if isinstance(one, UUID) else one for one in values]
        return pa.ExtensionArray.from_storage(kind, pa.array(stored, kind.storage_type))
    return pa.array(values, kind)


def read_rows(table: TableFiles, keys: Collection[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Return key -> the values of these columns. Only splits with one of the keys are read, up to the last."""
    schema = pa.schema([table.schema.field(name) for name in columns])
    out: dict[int, dict[str, Any]] = {}
    for number, opened in enumerate(table.files):
        for split in opened.splits:
            first = row_key(number, split.first_row)
            left = sorted(key for key in keys if first <= key < first + split.all_rows)
            if not left:
                continue
            for window in table.reader.read(opened.file, split, schema, ROWS):
                here = [key for key in left if key < first + window.num_rows]
                for key in here:
                    row = window.slice(key - first, 1)
                    out[key] = {name: _value(row[name][0]) for name in columns}
                left, first = left[len(here) :], first + window.num_rows
                if not left:
                    break
    return out


def by_file(table: TableFiles, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return the keys of rows that name their `file` and `row`; -1 if the file is gone."""
    numbers = defaultdict(lambda: -1, {file.name: number for number, file in enumerate(table.files)})
    return [row_key(numbers[row["file"]], row["row"]) if numbers[row["file"]] >= 0 else -1 for row in rows]


def _value(value: pa.Scalar) -> Any:
    """Return the value in Python, or as `python_value` does; a string that is not UTF-8 as bytes."""
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return error.object
    except (ValueError, ArithmeticError):  # a time that Python has no value for
        return python_value(value)
