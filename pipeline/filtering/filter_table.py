"""The rows of a table that are good enough: scores in, a smaller table of the same kind out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.columns import PLACE, ROW_ID
from pipeline.common.errors import ConfigError, RowsLostError, StorageFailedError, first_line
from pipeline.common.row_ranges import ROW_BITS
from pipeline.config.filter import DROPPED, KEPT, SCORES, FilterConfig
from pipeline.config.job import JobConfig
from pipeline.filtering.copying import Copied, copy_file
from pipeline.filtering.selection import Cut
from pipeline.monitoring.events import tell
from pipeline.results.distribution import distribution, examples
from pipeline.results.publishing import Publishing
from pipeline.results.reader import Results, open_results, read_summary
from pipeline.scoring.prepare import PreparedJob
from pipeline.scoring.run import run
from pipeline.stages.checkpoints import check_models, fit_inputs
from pipeline.storage.filesystem import STORAGE_ERRORS, open_fsspec, patiently
from pipeline.tables.column_checks import check_id
from pipeline.tables.table import TableFiles, open_files, open_table, read_columns, with_row_id

ID_ROWS = 2**17  # whose ids are read at a time
COPIERS = 4  # files that are copied at the same time


@dataclass(frozen=True)
class FilterSummary:
    """What a filter did.

    dropped: reason -> rows. score: the column that was compared; lowest_kept: the lowest score that was kept.
    scores: a `pipeline.results.distribution.Distribution`. examples: kind -> rows of the table, by file and row.
    input: the section of the config, with the columns that were scored. lineage: of the scores. finished_before:
    nothing was left to do.
    """

    output: str
    rows_in: int
    kept: int
    dropped: dict[str, int]
    keep: dict[str, Any]
    score: str | None
    lowest_kept: float | None
    scores_from: str
    scores: dict[str, Any] | None
    examples: dict[str, list[dict[str, Any]]]
    input: dict[str, Any]
    seconds: float
    files: list[str]
    lineage: dict[str, str]
    identity: dict[str, str]
    tasks: list[str] = field(default_factory=lambda: ["filter"])
    finished_before: bool = False


def filter_table(config: FilterConfig) -> FilterSummary:
    """Run a whole filter: score the table where `run` says so, decide about every row, copy the kept ones, publish.

    Raises ConfigError before anything starts, or once the scores are seen not to fit the table; BusyError where
    another run is at work on the output; StorageFailedError and RowsLostError before anything is published.
    """
    table = _open(config)
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    identity = _identity(config, table)
    with ExitStack() as stack:
        try:
            publishing = stack.enter_context(Publishing(filesystem, path, (KEPT, DROPPED), identity))
            finished = publishing.begin(config.output.overwrite)
        except STORAGE_ERRORS as error:
            raise ConfigError(f"output.path: cannot write to {config.output.path!r}: {first_line(error)}") from None
        if finished:
            return _told(replace(FilterSummary(**finished), finished_before=True))
        fields: dict[str, Any] = {"tasks": ["filter"], "input": config.input.path, "output": config.output.path}
        tell("job_started", f"filter: {table.rows:,} rows", **fields, rows=table.rows)
        try:
            return _told(_filter(config, table, publishing))
        except STORAGE_ERRORS as error:
            raise StorageFailedError(f"the storage failed: {first_line(error)}; run the same command again") from None


def _told(summary: FilterSummary) -> FilterSummary:
    """The summary, once the event `job_finished` is told."""
    dropped = sum(summary.dropped.values())
    text = f"{summary.kept:,} of {summary.rows_in:,} rows kept, {dropped:,} dropped, in {summary.seconds:.1f} s"
    names = ("tasks", "output", "rows_in", "kept", "dropped", "seconds", "finished_before")
    tell("job_finished", text, **{name: getattr(summary, name) for name in names}, files=len(summary.files))
    return summary


def _open(config: FilterConfig) -> TableFiles:
    """The table, checked as far as can be before there are scores."""
    job = fit_inputs(config.scoring_job(False)) if config.run else None
    table = open_table(job) if job else open_files(config.input, config.storage)
    check_id(table.schema, config.input.id)
    if table.format.not_copied:
        raise ConfigError(f"input.path: {config.input.path!r} is {table.format.name}, {table.format.not_copied}")
    return table


def _identity(config: FilterConfig, table: TableFiles) -> dict[str, str]:
    """What makes a filter the same one: then there is nothing to do."""
    if config.run is None:
        assert config.scores is not None
        scores = {"scores": open_results(config.scores, "scores", config.storage).fingerprint}
    else:
        job = fit_inputs(config.scoring_job(False))
        scores = PreparedJob(job, open_table(job), check_models(job)).identity
    return {**scores, "config": config.sha256 + scores.get("config", ""), "input": table.fingerprint}


def _filter(config: FilterConfig, table: TableFiles, publishing: Publishing) -> FilterSummary:
    started = time.monotonic()
    with Cut() as cut:
        cut.add_rows(_row_ids(table, config.input.id))
        results = _results(config)
        cut.judge(config.keep, results)
        copied = _copy(table, cut, publishing.filesystem, publishing.folder)
        _audit(table, copied)
        summary = _summarise(config, table, results, cut, copied, publishing, time.monotonic() - started)
    publishing.publish(asdict(summary))
    return summary


def _row_ids(table: TableFiles, id_column: str | None) -> Iterator[pa.Table]:
    """`__place` and `row_id` of all rows."""
    for rows in read_columns(table, [id_column] if id_column else [], ID_ROWS):
        yield with_row_id(rows, id_column).select([PLACE, ROW_ID])


def _results(config: FilterConfig) -> Results:
    """The results to judge by; those of `run` are made now, or are there from an earlier run."""
    if config.scores is not None:
        return open_results(config.scores, "scores", config.storage)
    job = fit_inputs(config.scoring_job(overwrite=False))
    if config.output.overwrite and not _is_made(job):  # only what another model or table gave is made anew
        job = fit_inputs(config.scoring_job(overwrite=True))
    run(job)
    return open_results(job.output.path, f"output.path/{SCORES}", config.storage)


def _is_made(job: JobConfig) -> bool:
    """Whether the output holds the results of this very job."""
    try:
        made = read_summary(job.output.path, "output.path", job.storage).get("identity")
    except ConfigError:  # there are none
        return False
    return made == PreparedJob(job, open_table(job), check_models(job)).identity


def _copy(table: TableFiles, cut: Cut, filesystem: AbstractFileSystem, folder: str) -> list[Copied]:
    def again(number: int) -> Iterator[Copied]:
        yield copy_file(table, number, cut, filesystem, folder)

    def copy(number: int) -> Copied:
        return next(iter(patiently(partial(again, number), table.files[number].name)))

    with ThreadPoolExecutor(COPIERS) as pool:
        return list(pool.map(copy, range(len(table.files))))


def _audit(table: TableFiles, copied: list[Copied]) -> None:
    """Check that each row of each file was written, once. Raises RowsLostError."""
    for file, out in zip(table.files, copied, strict=True):
        rows = file.rows
        if rows != out.kept + out.dropped:
            raise RowsLostError(
                f"{file.name}: {rows} rows in, {out.kept} kept and {out.dropped} dropped: nothing was published; "
                "was the table changed meanwhile? run the same command again"
            )


def _columns_scored(uri: str, config: FilterConfig) -> dict[str, Any]:
    """Which columns the job that scored took for images and texts, where the filter's config does not say."""
    try:
        scored = read_summary(uri, "scores", config.storage).get("input", {})
    except ConfigError:  # results of another program
        return {}
    return {key: scored[key] for key in ("image", "text", "features", "features_mask", "allow") if key in scored}


def _summarise(
    config: FilterConfig,
    table: TableFiles,
    results: Results,
    cut: Cut,
    copied: list[Copied],
    publishing: Publishing,
    seconds: float,
) -> FilterSummary:
    lowest = cut.lowest_kept()
    source = "(SELECT *, reason IS NULL AS kept FROM verdict)"
    scores = distribution(cut.database, source)
    shown = {}
    if scores:
        middle = scores.median if lowest is None else lowest
        shown = examples(cut.database, source, "place, row_id, score, reason", middle)
    for rows in shown.values():
        for row in rows:
            place = row.pop("place")
            row |= {"file": table.files[place >> ROW_BITS].name, "row": place & (1 << ROW_BITS) - 1}
    return FilterSummary(
        output=config.output.path,
        rows_in=table.rows,
        kept=sum(file.kept for file in copied),
        dropped=cut.counts(),
        keep=config.keep.model_dump(exclude_defaults=True),
        score=config.keep.score or results.score_column,
        lowest_kept=lowest,
        scores_from=results.uri,
        scores=asdict(scores) if scores else None,
        examples=shown,
        input={**_columns_scored(results.uri, config), **config.input.model_dump(exclude_defaults=True)},
        seconds=round(seconds, 3),
        files=[file.kept_name for file in copied],
        lineage=results.lineage,
        identity=publishing.identity,
    )
