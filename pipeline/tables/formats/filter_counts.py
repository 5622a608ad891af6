"""Count the rows of a split that `input.filter` lets through, before any work."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.common.errors import ConfigError, first_line
from pipeline.tables.filter_expression import Filter
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import Split, TableReader

COUNT_ROWS = 2**20  # of the columns of a filter, held at a time


def rows_passing(file: InputFile, split: Split, reader: TableReader, schema: pa.Schema, condition: Filter) -> int:
    """Return how many rows of a split the filter lets through; only its columns are read."""
    columns = pa.schema([schema.field(name) for name in condition.columns()])
    passes, deleted, row, count = condition.pyarrow(), file.deleted_rows, split.first_row, 0
    try:
        for table in reader.read(file, split, columns, COUNT_ROWS):
            live = ~deleted.contains(np.arange(row, row + table.num_rows))
            row += table.num_rows
            count += (table if live.all() else table.filter(pa.array(live))).filter(passes).num_rows
        return count
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ConfigError(f"input.filter: {condition.text!r} does not fit the columns: {first_line(error)}") from None
