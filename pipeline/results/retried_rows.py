"""Files of results without the rows that are to be read again, since their error may pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ERROR, ROW_KEY
from pipeline.common.error_codes import TRIED_BY_NEXT_RUN
from pipeline.common.row_ranges import RowSet
from pipeline.results.file_footer import FOOTER, ResultFile, truncated_in
from pipeline.results.work_folder import WorkFolder, read_part, write_parquet

REST = "part-rest-"  # begins the names of files with the rows of another that are still needed


def without_retryable(
    folder: WorkFolder, written: ResultFile, to: str, replaces: str | None = None, row_keys: bool = False
) -> ResultFile | None:
    """Write a copy of a file of results without the rows whose error may pass.

    Args:
        folder: The folder of the file.
        written: What the file holds.
        to: The folder for the copy.
        replaces: The file of finished results that the copy replaces, for the copy's footer: a run that is stopped
            here and resumed knows by it which files are done.
        row_keys: Whether the copy has the column `__row_key`; if the file lacks it, its rows are in their order.

    Returns:
        What the copy holds; None if no row is left, and there is no copy.
    """
    table, metadata = read_part(folder.filesystem, f"{folder.path}/{written.name}")
    if row_keys and ROW_KEY not in table.column_names:
        table = table.append_column(ROW_KEY, pa.array(written.complete.keys()))
    retried = pc.fill_null(pc.is_in(table[ERROR], pa.array(sorted(TRIED_BY_NEXT_RUN))), False)
    table = table.filter(pc.invert(retried))
    if not table.num_rows:
        return None
    split = np.array(list(written.split), np.int64)
    rest = replace(
        written,
        name=f"{REST}{written.name.removeprefix('part-').replace('/', '-')}",
        complete=written.complete.minus(written.retryable),
        split={int(row): written.split[row] for row in split[~written.retryable.contains(split)]},
        retryable=RowSet.none(),
        rows=table.num_rows,
        errors=Counter({reason: n for reason, n in written.errors.items() if reason not in TRIED_BY_NEXT_RUN}),
        truncated=truncated_in([table]),
        replaces=replaces,
    )
    write_parquet(folder.filesystem, f"{to}/{rest.name}", [table], {**metadata, FOOTER: rest.to_json()})
    return rest


def drop_retryable(folder: WorkFolder, parts: Iterable[ResultFile]) -> list[ResultFile]:
    """Take the rows whose error may pass out of unfinished work; return the files that are left.

    A stop in the middle loses nothing: a copy beside its original is not taken up by the next run.
    """
    left = []
    for part in parts:
        if not len(part.retryable):
            left.append(part)
            continue
        rest = without_retryable(folder, part, folder.path)
        folder.remove([part.name])
        left += [] if rest is None else [rest]
    return left
