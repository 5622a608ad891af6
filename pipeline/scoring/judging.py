"""Judge a job that has read all its rows: were more of them rejected than `max_error_rate` allows?

While rows flow, the run monitor judges from the first 1,000 pairs on. This is the judgement of tables of any size.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from pipeline.common.columns import DETAIL, ERROR, ROW_ID
from pipeline.common.errors import TooManyErrorsError
from pipeline.common.row_ids import shown_id
from pipeline.monitoring.error_budget import EXAMPLES, verdict_line
from pipeline.results.file_footer import ResultFile
from pipeline.results.result_parts import StagedParts
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.storage.parquet.reading import guarded_table


def check_error_rate(total: ResultFile, max_error_rate: float, staged: StagedParts, rows: str = "pairs") -> None:
    """Check that no more rows are rejected than may be.

    Args:
        total: The counts of all files of the job.
        max_error_rate: The share that may be.
        staged: The files of this run and of those that were stopped, for examples.
        rows: What a row is: a pair, or an image of a rank job.

    Raises:
        TooManyErrorsError: More are rejected; nothing is published.
    """
    if over_budget(total, max_error_rate):
        reason, _ = total.errors.most_common(1)[0]
        examples = list(_examples(staged, reason))
        raise TooManyErrorsError(verdict_line(f"{total.rows:,} {rows}", total.errors, max_error_rate, examples))


def over_budget(total: ResultFile, max_error_rate: float) -> bool:
    """Return whether more pairs are rejected than may be."""
    return total.errors.total() > max_error_rate * total.rows


def _examples(staged: StagedParts, reason: str) -> Iterator[str]:
    """Yield some pairs with an error code, of the first file that has such."""
    part = next((part for part in staged.parts if reason in part.errors), None)
    if part is None:
        return
    path, arrow = f"{staged.folder}/{part.name}", arrow_filesystem(staged.filesystem)
    rows = guarded_table(path, arrow, [ROW_ID, ERROR, DETAIL])
    for row in rows.filter(pc.equal(rows[ERROR], reason)).slice(0, EXAMPLES).select([ROW_ID, DETAIL]).to_batches():
        for row_id, detail in zip(*row.columns, strict=True):
            yield f"row {shown_id(row_id)}: {detail}"
