"""Make what is staged the next version of a table of results."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pyarrow as pa

from pipeline.common.errors import RowsLostError
from pipeline.common.invocation import command
from pipeline.reindexing.plan import TableState
from pipeline.reindexing.staged_results import StagedResults
from pipeline.reindexing.table_folder import TableFolder
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import Added, DataFile
from pipeline.results.file_footer import done_rows
from pipeline.scoring.prepare import PreparedJob


def commit(
    staged: StagedResults,
    state: TableState,
    job: PreparedJob,
    identity: dict[str, str],
    folder: TableFolder,
    started: float,
) -> Commit:
    """Commit, then remove what nobody needs.

    Args:
        staged: What is written.
        state: The table before.
        job: The job.
        identity: See `identity_of`.
        folder: The table's folder.
        started: When the run began, by `time.monotonic`.

    Returns:
        The commit with its version.

    Raises:
        BusyError: Another program has changed the table meanwhile.
        RowsLostError: The files hold other rows than were written; nothing was committed.
    """
    finite = job.config.added_columns
    results = folder.adds([f"{staged.token}/{part.name}" for part in staged.results], finite)
    rewritten = folder.adds([file.path for file in staged.rewritten if file.path is not None], finite)
    total = staged.total
    if (_rows(results), _rows(rewritten)) != (total.rows, sum(file.rows for file in staged.rewritten)):
        raise RowsLostError(f"{staged.token}: the files hold other rows than were written; run it again")
    removed = [*staged.plan.remove, *(file.old for file in staged.rewritten)]
    entry = Commit(
        token=staged.token,
        identity=identity,
        counts=_counts(staged, state, removed, results, rewritten),
        rejected=dict(total.errors.most_common()),
        standing=_standing(staged, state),
        texts_truncated=_truncated(staged, state),
        lineage={**job.models.lineage, "vilt.precision": ", ".join(sorted(total.devices))},
        seconds=round(time.monotonic() - started, 3),
        input=job.config.input.stored(),
        command=command(),
        config=job.config.stored(),
        input_version=job.table.version,
    )
    folder.lock.check()
    gone = {file.path for file in removed}
    kept = [file for file in state.data_files if file.path not in gone]
    folder.write_lists(
        entry, staged.snapshot, staged.failed, [*kept, *(added.file for added in (*results, *rewritten))]
    )
    columns = _all_columns(staged.columns, [*results, *rewritten])
    version = folder.table.commit([*results, *rewritten], removed, columns, entry)
    folder.clean(entry, job.config.output.retention_days)
    return replace(entry, version=version, at=time.time())


def _counts(
    staged: StagedResults, state: TableState, removed: list[DataFile], results: list[Added], rewritten: list[Added]
) -> dict[str, int]:
    """Return how many files and rows there are, by what became of them."""
    changes = staged.plan.diff
    left = sum(file.rows for file in removed)
    return {
        "files": len(staged.snapshot.files),
        "files_new": len(changes.new),
        "files_changed": len(changes.changed),
        "files_gone": len(changes.gone),
        "rows_in": staged.snapshot.rows,
        "rows_read": len(done_rows(staged.results)),
        "rows_retried": staged.plan.retried,
        "rows_image_changed": len(staged.plan.images),
        "rows_moved": staged.moved,
        "rows_left": left - _rows(rewritten),
        "rows_out": sum(file.rows for file in state.data_files) - left + _rows(results) + _rows(rewritten),
    }


def _standing(staged: StagedResults, state: TableState) -> dict[str, int]:
    """Return reason -> rows of the whole table without a result."""
    kept = Counter(state.latest.standing if state.latest and not staged.plan.replaced else {})
    for file in staged.rewritten:
        kept.subtract(file.errors)
    return dict((+(kept + staged.total.errors)).most_common())


def _truncated(staged: StagedResults, state: TableState) -> int:
    """Return the rows of the whole table of whose text the model read the beginning alone."""
    kept = state.latest.texts_truncated if state.latest and not staged.plan.replaced else 0
    return kept - sum(file.truncated for file in staged.rewritten) + staged.total.truncated


def _rows(added: list[Added]) -> int:
    return sum(file.rows for file in added)


def _all_columns(columns: pa.Schema, added: list[Added]) -> pa.Schema:
    """Return the columns of the table, with those that only the files of results have.

    Raises:
        RowsLostError: A file has a column of another type.
    """
    kinds = {field.name: field.type for field in columns}
    for file in added:
        for field in file.schema:
            if kinds.setdefault(field.name, field.type) != field.type:
                raise RowsLostError(
                    f"{file.action.path}: column {field.name!r} is {field.type}, and {kinds[field.name]} in the table; "
                    "nothing was committed"
                )
    return pa.schema(list(kinds.items()))
