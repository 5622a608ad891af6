"""The column `row_id` of a table: the user's ids, or hashes of file and row."""

from __future__ import annotations

import pyarrow as pa

from pipeline.common.columns import ROW_HASH, ROW_ID
from pipeline.common.row_ids import id_type, ids_of


def row_id_type(schema: pa.Schema, id_column: str | None) -> pa.DataType:
    """Return the type of the column `row_id` of a table with these columns, see `with_row_id`."""
    return pa.int64() if id_column is None else id_type(schema.field(id_column).type)


def with_row_id(rows: pa.Table, id_column: str | None) -> pa.Table:
    """Return `rows` with the column `row_id`: the user's ids, in their type, or the 64 bits of the row hash, int64."""
    if id_column is None:
        ids = pa.chunked_array([chunk.view(pa.int64()) for chunk in rows[ROW_HASH].chunks], pa.int64())
        return rows.drop_columns([ROW_HASH]).append_column(ROW_ID, ids)
    rows = rows.drop_columns([ROW_HASH]) if ROW_HASH in rows.column_names else rows
    ids = ids_of(rows[id_column])
    if id_column == ROW_ID:
        return rows.set_column(rows.column_names.index(ROW_ID), ROW_ID, ids)
    return rows.append_column(ROW_ID, ids)
