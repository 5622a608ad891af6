"""Ids that are null or stand in several rows: counted before any work, since results are found by them later."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from pipeline.common.columns import ROW_ID
from pipeline.common.row_ids import key_type, keys_of
from pipeline.monitoring.events import emit
from pipeline.tables.database import load, temporary_database
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import row_id_type, with_row_id
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted

ID_ROWS = 2**17  # whose ids are read at a time


class IdCounts(NamedTuple):
    """Ids by which a row cannot be found.

    Attributes:
        null: Rows without an id.
        repeated: Ids that stand in several rows.
        rows: The rows that have one of these.
    """

    null: int
    repeated: int
    rows: int


def warn_about_ids(table: TableFiles, id_column: str | None, counts: IdCounts | None = None) -> None:
    """Emit a warning if rows cannot be told apart by their ids.

    Tars are left out: to read their ids is to read all of them.

    Args:
        table: The table.
        id_column: The column of ids; None if they are hashes.
        counts: The counts, if the ids were read before; otherwise the column is read.
    """
    if id_column is None or table.format.copies_files or not table.rows:
        return
    warn_of_counts(count_ids(table, id_column) if counts is None else counts, id_column)


def warn_of_counts(counts: IdCounts, id_column: str) -> None:
    """Emit a warning if there are ids that are null or stand in several rows."""
    parts = [f"is null in {counted(counts.null, 'row')}"] if counts.null else []
    if counts.repeated:
        ids = counted(counts.repeated, "id that stands", "ids that stand")
        parts.append(f"has {ids} in several rows, {counts.rows:,} in all")
    if parts:
        text = f"input.id: column {id_column!r} {' and '.join(parts)}: by row_id their results cannot be told apart"
        emit("warning", text, logging.WARNING, **counts._asdict())


def count_ids(table: TableFiles, id_column: str) -> IdCounts:
    """Count ids that are null or stand in several rows, exactly, within a fixed memory."""
    read = read_columns(table, [id_column], ID_ROWS)
    return count_repeated((with_row_id(rows, id_column)[ROW_ID] for rows in read), row_id_type(table.schema, id_column))


def count_repeated(ids: Iterable[pa.ChunkedArray], kind: pa.DataType) -> IdCounts:
    """Count ids that are null or occur several times, exactly, within a fixed memory.

    Args:
        ids: Some ids at a time.
        kind: The type of `row_id`.
    """
    schema = pa.schema([(ROW_ID, key_type(kind))])
    keys = (pa.table({ROW_ID: keys_of(some)}) for some in ids)
    with temporary_database() as database:
        statement = "CREATE TABLE counted AS SELECT row_id, count(*) AS n FROM given GROUP BY row_id"
        load(database, statement, schema, keys)
        query = (
            "SELECT coalesce(sum(n) FILTER (row_id IS NULL), 0)::BIGINT, "
            "count(*) FILTER (row_id IS NOT NULL AND n > 1), "
            "coalesce(sum(n) FILTER (row_id IS NOT NULL AND n > 1), 0)::BIGINT FROM counted"
        )
        return IdCounts(*database.execute(query).fetchall()[0])
