"""The Arrow schema between every two stages, written down once.

row    what the reader gives: the user's columns, `row_hash` and `__row_key`
batch  a micro-batch is ONE row of this schema: what keeps its pairs together on their way through Ray Data
out    what is written: the user's columns, `row_id`, the results (see `pipeline.stages.task_columns`) and `error`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROW_ID, TEXT_INDEX, TEXT_TRUNCATED = "row_id", "text_index", "text_truncated"
NEGATIVE_SCORES = "negative_scores"  # list of floats: the scores of `negatives` with the row's image
IMAGE_VERSION = "image_version"  # string, with `input.verify`: see `pipeline.images.versions`
ERROR, DETAIL = "error", "error_detail"
ROW_HASH = "row_hash"  # int64: of the file's path and the row's number; Ray Data's name for its own
ROW_KEY = "__row_key"  # int64: which row of the input, see `pipeline.common.row_ranges`; never written
ROW_SOURCE = "row_source"  # struct, of tables that follow their input: see `pipeline.tables.provenance`
FIXED_TEXT = "fixed_text"  # string: the text of a job that gives all rows the same one
TEXTS = "__texts"  # int32: how many rows of the output the row of the input has; never written
PAIR = "__pair"  # of a row in a micro-batch, for each column of texts: the number of its first pair, -1 if none
UNREAD = "__unread"  # struct: the reason and the detail why a row of the table could not be read; never written
STATS = "__stats"  # first row of a micro-batch: its figures for the summary; never written


def without_hidden(table: pa.Table) -> pa.Table:
    """Return a table without the columns that are never written."""
    return table.drop_columns([name for name in (ROW_KEY, TEXTS, STATS) if name in table.column_names])
