"""The rows of an opened table: as a Ray Dataset, or window by window in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import ray.data

from pipeline.common.columns import UNREAD
from pipeline.common.row_ranges import RowSet
from pipeline.config.job import JobConfig
from pipeline.tables.datasource import ReadPlan, TableSource, Transform
from pipeline.tables.table import InputTable, TableFiles


def read(
    table: InputTable,
    config: JobConfig,
    done: RowSet,
    transform: Transform,
    label_selector: dict[str, str] | None = None,
) -> ray.data.Dataset:
    """Return the table as a Dataset.

    Args:
        table: The table.
        config: The job.
        done: Rows to leave out.
        transform: Windows of `batch.window_rows` rows -> the rows of the Dataset; it runs in the read tasks.
        label_selector: Labels of the nodes to read on; None: any.
    """
    batch, delta = config.batch, config.output.format == "delta"
    plan = replace(read_plan(table, batch.window_rows), row_source=delta, window_bytes=batch.window_bytes)
    source = TableSource(table.unread(done), plan, transform)
    return ray.data.read_datasource(
        source, override_num_blocks=len(source.tasks), num_cpus=1, label_selector=label_selector
    )


def read_plan(table: InputTable, window_rows: int) -> ReadPlan:
    """Return what the job reads of a table, about `window_rows` rows at a time."""
    return table.plan(table.columns.names, window_rows)


def read_columns(table: TableFiles, names: Sequence[str], window_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of the table in order, with these columns, `__row_key` and `row_hash`, in this process."""
    plan = table.plan(names, window_rows)
    for unread in table.unread(RowSet.none()):
        for rows in unread.read(plan):
            yield rows.drop_columns([UNREAD]) if UNREAD in rows.column_names else rows
