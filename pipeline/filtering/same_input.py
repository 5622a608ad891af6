"""Check that results were made from the table that is filtered, as its files are now."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.common.columns import ROW_SOURCE
from pipeline.common.errors import ConfigError, first_line
from pipeline.config.filter import FilterConfig
from pipeline.results.input_files import InputFiles
from pipeline.results.reader import Results
from pipeline.storage.filesystem import open_fsspec, storage_errors
from pipeline.tables.table import TableFiles

BATCH_ROWS = 2**17


def check_same_input(config: FilterConfig, table: TableFiles, results: Results, summary: dict[str, Any]) -> None:
    """Check that the files of the table are still those that the results were made from.

    Row ids that are hashes name a file and a row in it: after a change they name other rows, which nothing else shows.
    Results of other programs do not say what they were made from; only their ids are compared, later.

    Args:
        config: With `allow_changed`, which is for tables with ids of their own, nothing is checked.
        table: The table as it is now.
        results: What was opened at `config.scores`.
        summary: The summary of the results; {} if there is none.

    Raises:
        ConfigError: The files have changed, or the results have ids of another column.
    """
    if config.allow_changed:
        return
    if summary and (was := summary.get("input", {}).get("id")) != config.input.id:
        raise ConfigError(
            f"input.id: {config.input.id!r}, but the scores in {results.uri!r} were made with input.id={was!r}; "
            "set the same here"
        )
    changes = _changes(config, table, results, summary)
    if changes:
        trust = "" if config.input.id is None else ", or set allow_changed=true to trust the ids in input.id"
        raise ConfigError(
            f"scores: {results.uri!r} is of another table, or the table has changed since: {changes}; "
            f"score it again{trust}"
        )


def _changes(config: FilterConfig, table: TableFiles, results: Results, summary: dict[str, Any]) -> str:
    """Return what has changed, in words; "" if nothing has, or nothing is known."""
    now = InputFiles.of(table.fingerprint, (opened.file for opened in table.files), table.version)
    if results.is_delta:
        filled = {opened.name for opened in table.files if opened.rows}
        before, now = _sources(results), InputFiles("", {k: v for k, v in now.versions.items() if k in filled})
        return before.changes(now)
    fingerprint = summary.get("identity", {}).get("input")
    if fingerprint in (None, now.fingerprint):
        return ""
    filesystem, path = open_fsspec(results.uri, "scores", config.storage)
    try:
        known = InputFiles.read(filesystem, path.rstrip("/"))
    except storage_errors() as error:
        raise ConfigError(f"scores: cannot read {results.uri!r}: {first_line(error)}") from None
    named = known.changes(now) if known and known.fingerprint == fingerprint else ""
    return named or "the names, sizes or versions of its files are others"


def _sources(results: Results) -> InputFiles:
    """Return the files that the rows of a Delta table say they are from."""
    versions: dict[str, str] = {}
    for rows in results.read([ROW_SOURCE], BATCH_ROWS):
        source = rows[ROW_SOURCE].combine_chunks()
        pairs = pa.table({name: source.field(name) for name in ("file", "edition")})
        distinct = pairs.group_by(["file", "edition"]).aggregate([])
        versions.update(zip(distinct["file"].to_pylist(), distinct["edition"].to_pylist(), strict=True))
    return InputFiles("", versions)
