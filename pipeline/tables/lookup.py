"""Some rows of a large table: where the rows of some ids are, and the rows at some places, each with little reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.common.columns import PLACE, ROW_ID
from pipeline.common.row_ranges import place_of
from pipeline.tables.table import TableFiles, read_columns, with_row_id

ID_ROWS = 2**17  # whose ids are read at a time
ROWS = 64  # of a Parquet row group, held at a time


def find_ids(table: TableFiles, id_column: str | None, ids: Collection[int]) -> dict[int, int]:
    """row_id -> place, of the rows with one of these ids; of each id the first. Only the column of ids is read."""
    wanted, out = np.array(sorted(ids), np.int64), dict[int, int]()
    for rows in read_columns(table, [id_column] if id_column else [], ID_ROWS):
        found = with_row_id(rows, id_column)
        own = found[ROW_ID].to_numpy()
        for i in np.flatnonzero(np.isin(own, wanted)):
            out.setdefault(int(own[i]), found[PLACE][int(i)].as_py())
        if len(out) == len(wanted):
            break
    return out


def read_places(table: TableFiles, places: Collection[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """place -> the values of these columns. Only pieces of files with one of the places are read, up to the last."""
    schema = pa.schema([table.schema.field(name) for name in columns])
    out: dict[int, dict[str, Any]] = {}
    for number, file in enumerate(table.files):
        for piece in file.pieces:
            first = place_of(number, piece.first)
            wanted = sorted(place for place in places if first <= place < first + piece.all_rows)
            if not wanted:
                continue
            for window in piece.windows(schema, ROWS):
                here = [place for place in wanted if place < first + window.num_rows]
                for place in here:
                    row = window.slice(place - first, 1)
                    out[place] = {name: _value(row[name][0]) for name in columns}
                wanted, first = wanted[len(here) :], first + window.num_rows
                if not wanted:
                    break
    return out


def by_file(table: TableFiles, rows: Sequence[dict[str, Any]]) -> list[int]:
    """The places of rows that name their `file` and `row`; of a file that is gone, -1."""
    numbers = defaultdict(lambda: -1, {file.found.name: number for number, file in enumerate(table.files)})
    return [place_of(numbers[row["file"]], row["row"]) if numbers[row["file"]] >= 0 else -1 for row in rows]


def _value(value: pa.Scalar) -> Any:
    """As Python has it; what is not UTF-8, as the bytes that it is."""
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return error.object
