"""Make the outputs of all shards of a job one result: audit them, and write one summary. No file is copied or moved.

The files stay in the shards' folders, as OUT/shard-00003-of-01000/part-*.parquet. Programs that read a folder with the
folders in it read them all (pandas, pyarrow, Polars with OUT/**/*.parquet, DuckDB with OUT/*/*.parquet, Spark with
recursiveFileLookup); so do `vilt show`, `report`, `filter` and `evaluate`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ROW_ID, TEXT_INDEX
from pipeline.common.errors import BusyError, ConfigError, RowsLostError, first_line
from pipeline.common.invocation import command
from pipeline.common.redaction import redacted
from pipeline.common.summary import Summary
from pipeline.config.shard import Shard
from pipeline.config.storage import StorageConfig
from pipeline.monitoring.events import emit, emit_finished
from pipeline.results.file_footer import ResultFile
from pipeline.results.input_files import InputFiles
from pipeline.results.output_folder import OutputFolder
from pipeline.results.shard_folders import merged_files, numbers_text, shards_in
from pipeline.results.shards.audit import ShardOutput, audit
from pipeline.results.work_folder import JOB, PROGRESS, SUMMARY, WorkFolder, each
from pipeline.storage.filesystem import arrow_filesystem, open_fsspec, storage_errors, write_whole
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.id_checks import count_repeated, warn_of_counts
from vilt.common.counts import counted

MOST_IDS = 100_000_000  # rows whose ids are compared with each other; beyond, a line says that they were not


def merge(uri: str, storage: StorageConfig) -> Summary:
    """Audit the shards below an output folder, and make them one result.

    Args:
        uri: The folder that the shards' configs name in `output.path`.
        storage: How to reach it.

    Returns:
        The summary of the whole job: counts, times in the model and `seconds` are sums over the shards.

    Raises:
        ConfigError: Shards are missing or not finished, or are not of one job over one table.
        BusyError: Another merge is at work, or a shard has begun to change.
        RowsLostError: Rows are missing or doubled; the shards are no longer one result.
    """
    filesystem, path = open_fsspec(uri, "OUT", storage)
    path = path.rstrip("/")
    try:
        count = _count(WorkFolder(filesystem, path), uri)
        with OutputFolder(filesystem, path, {}) as folder:
            return _merge(folder, count, uri)
    except storage_errors() as error:
        raise ConfigError(f"OUT: cannot read or write {uri!r}: {first_line(error)}") from None


def _merge(folder: OutputFolder, count: int, uri: str) -> Summary:
    out = folder.out
    try:
        _check_finished(out, count)
        outputs = audit(out, count)
    except (ConfigError, RowsLostError):
        if merged_files(out.read(SUMMARY) or {}):
            out.remove([SUMMARY])
        raise
    summary = _summary_of(outputs, uri)
    _check_ids(out, outputs, summary)
    first = outputs[0].input
    versions = {name: version for one in outputs for name, version in one.input.versions.items()}
    InputFiles(first.fingerprint, versions, first.version).write(out.filesystem, out.path)
    folder.lock.check()
    out.filesystem.invalidate_cache()
    write_whole(out.filesystem, f"{out.path}/{SUMMARY}", _json(summary))
    if changing := _unfinished(out, count):  # a shard first says that it has begun, then removes the summary
        out.remove([SUMMARY] if SUMMARY in out.names() else [])
        raise BusyError(f"{uri}: shards {numbers_text(changing)} have begun again; merge when they have finished")
    return emit_finished(summary, shards=count)


def _json(summary: Summary) -> bytes:
    return json.dumps(asdict(summary), indent=2).encode() + b"\n"


def _count(out: WorkFolder, uri: str) -> int:
    """Return into how many shards the job below a folder was divided. Raises ConfigError if it was not."""
    shards = shards_in(out)
    if not shards:
        raise ConfigError(
            f"OUT: {uri!r} holds no shards; name the folder that input.shard's runs have in output.path, not one of "
            "its shards"
        )
    counts = sorted({shard.count for shard in shards})
    if len(counts) > 1:
        raise ConfigError(
            f"OUT: {uri!r} holds shards of {counts[0]:,} and of {counts[1]:,}; remove those of one division"
        )
    loose = [name for name in out.names() if name.endswith(".parquet")]
    if loose:
        raise ConfigError(
            f"OUT: {uri!r} holds {loose[0]!r} beside the shards, which readers would take for a part of them"
        )
    return counts[0]


def _unfinished(out: WorkFolder, count: int) -> list[int]:
    """Return the numbers of the shards that have begun, or begun again, and not finished."""
    started = [shard.index for shard in shards_in(out)]

    def begun(index: int) -> bool:
        return WorkFolder(out.filesystem, f"{out.path}/{Shard(index, count).folder}/{PROGRESS}").read(JOB) is not None

    return [index for index, has in zip(started, each(begun, started), strict=True) if has]


def _check_finished(out: WorkFolder, count: int) -> None:
    unfinished = set(_unfinished(out, count))

    def whole(index: int) -> bool:
        return SUMMARY in WorkFolder(out.filesystem, f"{out.path}/{Shard(index, count).folder}").names()

    there = each(whole, range(count))
    missing = [index for index in range(count) if not there[index] or index in unfinished]
    if missing:
        raise ConfigError(
            f"OUT: {len(missing):,} of {counted(count, 'shard')} have not finished: run {numbers_text(missing)} "
            "again, each resumes where it stopped"
        )


def _summary_of(outputs: Sequence[ShardOutput], uri: str) -> Summary:
    """Return the summary of the whole job."""
    files = [file for one in outputs for file in one.files]
    total, first = ResultFile.total(files), next((one for one in outputs if one.files), outputs[0]).summary
    seconds = round(sum(one.summary.seconds for one in outputs), 3)
    identity = {key: value for key, value in first.identity.items() if key != "shard"}
    rejected = dict(total.errors.most_common())
    return replace(
        first,
        output=redacted(uri),
        rows_in=sum(one.summary.rows_in for one in outputs),
        rows_out=sum(one.summary.rows_out for one in outputs),
        pairs=total.rows,
        scored=total.rows - sum(rejected.values()),
        rejected=rejected,
        texts_truncated=total.truncated,
        seconds=seconds,
        pairs_per_second=round(total.rows / seconds, 2) if seconds else 0.0,
        model_seconds=round(total.model_seconds, 3),
        micro_batches=total.micro_batches,
        tokens=total.tokens,
        batch_fill=round(total.tokens / total.capacity, 4) if total.capacity else 0.0,
        files=sorted(file.name for file in files),
        lineage={**first.lineage, "vilt.precision": ", ".join(sorted(total.devices))},
        identity=identity,
        resumed_rows=sum(one.summary.resumed_rows for one in outputs),
        input={key: value for key, value in first.input.items() if key != "shard"},
        command=command(),
        config=_whole_config(first.config, uri),
        finished_at=max(one.summary.finished_at for one in outputs),
        parts={
            name: round(sum(one.summary.parts.get(name, 0.0) for one in outputs), 3)
            for name in dict.fromkeys(name for one in outputs for name in one.summary.parts)
        },
    )


def _whole_config(config: dict[str, Any], uri: str) -> dict[str, Any]:
    """Return the config of a shard's summary as that of the whole job."""
    sections = {name: dict(config.get(name, {})) for name in ("input", "output")}
    sections["input"].pop("shard", None)
    return {**config, "input": sections["input"], "output": {**sections["output"], "path": redacted(uri)}}


def _check_ids(out: WorkFolder, outputs: Sequence[ShardOutput], summary: Summary) -> None:
    """Warn of ids that stand in rows of several shards; each run has counted those of its own."""
    column: Any = summary.input.get("id")
    files = [(file.name, schema) for one in outputs for file, schema in zip(one.files, one.schemas, strict=True)]
    if column is None or not files:
        return
    if summary.pairs > MOST_IDS:
        emit(
            "warning",
            f"input.id: {counted(summary.pairs, 'id was', 'ids were')} not compared between the shards",
            logging.WARNING,
        )
        return
    arrow = arrow_filesystem(out.filesystem)

    def ids() -> Iterator[pa.ChunkedArray]:
        for name, schema in files:
            listed = TEXT_INDEX in schema.names
            columns = [ROW_ID, *([TEXT_INDEX] if listed else [])]
            rows = guarded_table(f"{out.path}/{name}", arrow, columns)
            yield rows.filter(pc.fill_null(pc.equal(rows[TEXT_INDEX], 0), True))[ROW_ID] if listed else rows[ROW_ID]

    warn_of_counts(count_repeated(ids(), files[0][1].field(ROW_ID).type), str(column))
