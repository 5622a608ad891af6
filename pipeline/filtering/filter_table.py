"""Filter a table: scores in, the rows that are good enough out, as a table of the same kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline.common.columns import ROW_ID, ROW_KEY
from pipeline.common.errors import ConfigError, RowsLostError, StorageFailedError, first_line
from pipeline.common.row_ids import key_type, keys_of, same_ids
from pipeline.common.tasks import SCORE_COLUMNS, added_columns
from pipeline.config.filter import DROPPED, KEPT, KEYS, NEGATIVE_SCORE, SCORES, FilterConfig
from pipeline.filtering.copied_table import copy_table
from pipeline.filtering.duplicates import check_unique, drop_duplicates
from pipeline.filtering.key_lists import write_keys
from pipeline.filtering.same_input import check_same_input
from pipeline.filtering.scoring_job import score
from pipeline.filtering.selection import Selection
from pipeline.filtering.summary import FilterSummary, summarise
from pipeline.monitoring.events import emit
from pipeline.results.copied_files import write_counts
from pipeline.results.output_folder import OutputFolder
from pipeline.results.reader import NoSummaryError, Results, open_results, read_summary
from pipeline.scoring.prepare import PreparedJob, prepare
from pipeline.storage.filesystem import open_fsspec, storage_errors
from pipeline.tables.column_checks import check_id
from pipeline.tables.manifest import Manifest
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import row_id_type, with_row_id
from pipeline.tables.schemas import require_column
from pipeline.tables.table import TableFiles, open_files
from vilt.common.counts import counted

ID_ROWS = 2**17  # whose ids are read at a time
SCORE = "score"  # the column of `output.scores`
SCORED_COLUMNS = ("image", "text", "features", "features_mask", "allow")  # of the section `input`


@dataclass(frozen=True)
class PreparedFilter:
    """A filter that was checked as far as can be before it works; all that it reads is opened once.

    Attributes:
        config: The whole config.
        table: The table to filter.
        job: What scores the table first; None if it is scored.
        results: The results; None if `job` makes them.
        identity: What makes a filter the same one: then there is nothing to do.
        scored_input: The section `input` of the job that scored, as far as the summary of the results tells it.
    """

    config: FilterConfig
    table: TableFiles
    job: PreparedJob | None
    results: Results | None
    identity: dict[str, str]
    scored_input: dict[str, Any]


def filter_table(config: FilterConfig) -> FilterSummary:
    """Run a whole filter: score the table if `run` says so, decide about every row, copy the kept ones, publish.

    Raises:
        ConfigError: Before anything starts, or once the scores are seen not to fit the table.
        BusyError: Another run is at work on the output.
        StorageFailedError: Nothing was published.
        RowsLostError: Nothing was published.
    """
    return run_filter(prepare_filter(config))


def prepare_filter(config: FilterConfig) -> PreparedFilter:
    """Open the table, and the results or the job that makes them, and check that they fit together.

    Raises:
        ConfigError: Something does not fit.
    """
    if config.run is not None:
        job = prepare(config.scoring_job(overwrite=False))
        _check_table(config, job.table)
        _check_sort(config, any(name in SCORE_COLUMNS for name in added_columns(job.config.tasks)))
        identity = {**job.identity, "config": config.sha256 + job.identity["config"], **_keys(config)}
        return PreparedFilter(config, job.table, job, None, identity, job.config.input.stored())
    assert config.scores is not None
    manifest = Manifest(config.output.path, config.storage, others=(config.scores,))
    table = open_files(config.input, config.storage, manifest=manifest)
    _check_table(config, table)
    results = open_results(config.scores, "scores", config.storage)
    summary = _summary_of(config.scores, config)
    _check_ids(config, table, results)
    _check_sort(config, results.score_column is not None)
    check_same_input(config, table, results, summary)
    identity = {"scores": results.fingerprint, "config": config.sha256, "input": table.fingerprint, **_keys(config)}
    return PreparedFilter(config, table, None, results, identity, summary.get("input", {}))


def _keys(config: FilterConfig) -> dict[str, str]:
    """Return the part of the identity that says what there is beside the kept rows."""
    keys = {} if config.output.keys is None else {"output.keys": config.output.keys}
    keys |= {} if config.output.sort is None else {"output.sort": config.output.sort}
    return {**keys, "output.scores": "true"} if config.output.scores else keys


def run_filter(prepared: PreparedFilter) -> FilterSummary:
    """Do the work of a prepared filter, publish its files and write its report; see `filter_table`."""
    summary = _run_and_publish(prepared)
    if prepared.config.output.report:
        from pipeline.reporting.page import report_after

        report_after(prepared.config, missing_only=summary.finished_before)
    return summary


def _run_and_publish(prepared: PreparedFilter) -> FilterSummary:
    """Do the work of `run_filter`, but for the report, with the output locked."""
    config = prepared.config
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    folder = OutputFolder(filesystem, path, prepared.identity, ("", KEPT, DROPPED, KEYS))
    folder.config = config.stored()
    with ExitStack() as stack:
        try:
            stack.enter_context(folder)
            finished = folder.begin(config.output.overwrite)
        except storage_errors() as error:
            raise ConfigError(f"output.path: cannot write to {config.output.path!r}: {first_line(error)}") from None
        if finished:
            summary = replace(FilterSummary(**finished), finished_before=True)
        else:
            _emit_started(prepared)
            try:
                summary, files = _select_and_copy(prepared, folder)
                folder.publish(asdict(summary), files)
            except storage_errors() as error:
                raise StorageFailedError(
                    f"the storage failed: {first_line(error)}; copied files are kept: run the same command to resume"
                ) from None
            except RowsLostError:
                folder.discard()
                raise
        _emit_finished(summary)
        return summary


def _check_table(config: FilterConfig, table: TableFiles) -> None:
    check_id(table.schema, config.input.id)
    if config.keep.unique is not None:
        check_unique(table.schema, config.keep.unique)
    if config.output.keys is not None:
        require_column(table.schema, "output.keys", config.output.keys)
    if config.output.sort is not None and table.format.copies_files:
        raise ConfigError(
            f"output.sort: {config.output.sort}, but {config.input.path!r} is {table.format.name}, whose files are "
            "copied byte for byte, in their order; leave the key out"
        )
    if config.output.scores:
        _check_scores_fit(config, table)
    for name, why in table.unreadable.items():
        raise ConfigError(f"input.path: column {name!r} of {config.input.path!r} cannot be copied: {why}")


def _check_sort(config: FilterConfig, has_scores: bool) -> None:
    if config.output.sort == "score" and not has_scores and config.keep.score is None:
        raise ConfigError(
            f"output.sort: score, but the results have none of the columns {', '.join(SCORE_COLUMNS)}: name one in "
            "keep.score, or sort by row_id"
        )


def _check_scores_fit(config: FilterConfig, table: TableFiles) -> None:
    """Check that the kept rows can have the columns row_id and score, and, with keep.beats, negative_score.

    Raises:
        ConfigError: They cannot.
    """
    if table.format.copies_files:
        raise ConfigError(
            f"output.scores: true, but {config.input.path!r} is {table.format.name}, whose files are copied byte "
            "for byte; leave the key out and join the scores by row_id"
        )
    added = (ROW_ID, SCORE, *([] if config.keep.beats is None else [NEGATIVE_SCORE]))
    for name in table.schema.names:
        if name.lower() in added and not (name == ROW_ID and config.input.id == ROW_ID):
            raise ConfigError(
                f"output.scores: true, but the table has a column {name!r}, a name that the filter would add; leave "
                "the key out and join the scores by row_id"
            )


def _summary_of(uri: str, config: FilterConfig) -> dict[str, Any]:
    """Return the summary of the results; {} if another program made them."""
    try:
        return read_summary(uri, "scores", config.storage)
    except NoSummaryError:
        return {}


def _select_and_copy(prepared: PreparedFilter, folder: OutputFolder) -> tuple[FilterSummary, list[str]]:
    """Do all work but to publish it; return the names of all files as well."""
    started = time.monotonic()
    config, table = prepared.config, prepared.table
    kind = row_id_type(table.schema, config.input.id)
    stored = prepared.results.schema.field(ROW_ID).type if prepared.results else kind
    with Selection(kind) as selection:
        selection.add_rows(_row_ids(config, table, key_type(stored)), config.input.id, key_type(stored))
        results = prepared.results or _score(prepared)
        selection.decide(config.keep, results)
        if config.keep.unique is not None:
            drop_duplicates(table, config.keep.unique, selection)
        copied = copy_table(config, table, selection, folder)
        counts = write_counts(table.format, copied.kept, folder.filesystem, folder.work.path)
        keys = [] if config.output.keys is None else write_keys(table, config.output.keys, selection, folder)
        summary = summarise(config, table, results, selection, copied.kept)
    scored = {key: value for key, value in prepared.scored_input.items() if key in SCORED_COLUMNS}
    summary = replace(summary, input={**scored, **summary.input}, identity=prepared.identity, key_files=keys)
    files = [*copied.kept, *copied.dropped, *counts, *keys]
    return replace(summary, seconds=round(time.monotonic() - started, 3)), files


def _check_ids(config: FilterConfig, table: TableFiles, results: Results) -> None:
    """Check that ids of the table can be ids of the results.

    Raises:
        ConfigError: They are of other types.
    """
    if ROW_ID not in results.schema.names:
        raise ConfigError(f"scores: {results.uri!r} has no column {ROW_ID!r}: these are not the results of a job")
    kind, stored = row_id_type(table.schema, config.input.id), results.schema.field(ROW_ID).type
    if not same_ids(kind, stored):
        ids = (
            "without it row ids are int64 hashes"
            if config.input.id is None
            else f"column {config.input.id!r} is {kind}"
        )
        raise ConfigError(
            f"input.id: {ids}, but row_id is {stored} in the scores {results.uri!r}; name the column that they were "
            "made with"
        )


def _row_ids(config: FilterConfig, table: TableFiles, keys: pa.DataType) -> Iterator[pa.Table]:
    """Yield `__row_key` of all rows, and `row_id` as keys of the type `keys`."""
    id_column = config.input.id
    for rows in read_columns(table, [id_column] if id_column else [], ID_ROWS):
        ids = with_row_id(rows, id_column)[ROW_ID]
        try:
            found = keys_of(ids).cast(keys)
        except pa.ArrowException as error:
            raise ConfigError(
                f"input.id: an id in column {id_column!r} is not exact as the {keys} of row_id in the scores: "
                f"{first_line(error)}; score the table again"
            ) from None
        yield pa.table({ROW_KEY: rows[ROW_KEY], ROW_ID: found})


def _score(prepared: PreparedFilter) -> Results:
    """Return the results of `run`, which are made now or are there from an earlier run."""
    assert prepared.job is not None
    score(prepared.job, prepared.config.output.overwrite)
    return open_results(prepared.job.config.output.path, f"output.path/{SCORES}", prepared.config.storage)


def _emit_started(prepared: PreparedFilter) -> None:
    config, rows = prepared.config, prepared.table.rows
    fields: dict[str, Any] = {"tasks": ["filter"], "input": config.input.path, "output": config.output.path}
    emit("job_started", f"filter: {counted(rows, 'row')}", **fields, rows=rows)


def _emit_finished(summary: FilterSummary) -> None:
    dropped = sum(summary.dropped.values())
    text = (
        f"{summary.kept:,} of {counted(summary.rows_in, 'row')} kept, {dropped:,} dropped, in {summary.seconds:.1f} s"
    )
    names = ("tasks", "output", "rows_in", "kept", "dropped", "seconds", "finished_before")
    emit("job_finished", text, **{name: getattr(summary, name) for name in names}, files=len(summary.files))
