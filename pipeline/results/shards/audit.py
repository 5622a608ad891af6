"""Audit the outputs of all shards of a job: whole, of one job over one table, every row in one file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, RowsLostError, first_line
from pipeline.common.row_ranges import RowSet
from pipeline.common.summary import Summary
from pipeline.config.shard import Shard
from pipeline.monitoring.events import emit
from pipeline.results.file_footer import FOOTER, ResultFile, settle
from pipeline.results.input_files import InputFiles
from pipeline.results.shard_folders import read_part_of_table
from pipeline.results.untrusted import check_summary
from pipeline.results.work_folder import SUMMARY, WorkFolder, each
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.division import TablePart
from pipeline.tables.schemas import unify
from vilt.common.counts import counted

SAME_KEYS = {"model": "model", "config": "config", "written": "release of this program or output.keep_image"}


@dataclass(frozen=True)
class ShardOutput:
    """The finished output of one shard.

    Attributes:
        shard: The shard.
        summary: Its `_summary.json`.
        part: Which part of the table it read.
        files: What its files hold, by their footers; names relative to OUT.
        schemas: The columns of each file.
        input: The files of the input that it read.
    """

    shard: Shard
    summary: Summary
    part: TablePart
    files: list[ResultFile]
    schemas: list[pa.Schema]
    input: InputFiles


def audit(out: WorkFolder, count: int) -> list[ShardOutput]:
    """Read what the outputs of all shards say of themselves, and check that they are one result.

    Args:
        out: The folder of the shards, all of which have finished.
        count: How many there are.

    Raises:
        ConfigError: A shard is damaged, or they are not of one job over one table.
        RowsLostError: Rows are missing or doubled.
    """
    outputs = each(lambda index: _open(out, Shard(index, count)), range(count))
    _check_same(outputs)
    _check_division(outputs)
    _check_rows(outputs)
    _check_columns(outputs)
    return outputs


def _open(out: WorkFolder, shard: Shard) -> ShardOutput:
    """Read what a shard's output says of itself, and check that its files are those that its summary names."""
    folder = WorkFolder(out.filesystem, f"{out.path}/{shard.folder}")
    try:
        summary = Summary(**check_summary(folder.read(SUMMARY), f"{shard.folder}/{SUMMARY}"))
        part, read = read_part_of_table(folder), InputFiles.read(out.filesystem, folder.path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"OUT: {shard.folder} is damaged: {first_line(error)}; remove the folder, and let its run make it anew"
        ) from None
    if part is None or read is None or part.shard != shard:
        raise ConfigError(
            f"OUT: {shard.folder} was not written with input.shard={shard}; remove the folder, and let its run make it "
            "anew"
        )
    held = {name for name in folder.names() if name.endswith(".parquet")}
    if held != set(summary.files):
        odd = sorted(held ^ set(summary.files))[0]
        what = "holds" if odd in held else "lacks"
        raise RowsLostError(
            f"{shard.folder} {what} {odd!r}, against its summary: remove the folder, and let its run make it anew"
        )
    footers = [_footer(out.filesystem, folder.path, shard, name) for name in summary.files]
    return ShardOutput(shard, summary, part, [one for one, _ in footers], [schema for _, schema in footers], read)


def _footer(filesystem: AbstractFileSystem, folder: str, shard: Shard, name: str) -> tuple[ResultFile, pa.Schema]:
    try:
        metadata = pq.read_metadata(f"{folder}/{name}", filesystem=arrow_filesystem(filesystem))
        written = ResultFile.from_json(metadata.metadata[FOOTER.encode()])
    except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RowsLostError(
            f"{shard.folder}/{name} is damaged: {first_line(error)}; remove the folder, and let its run make it anew"
        ) from None
    if metadata.num_rows != written.rows:
        raise RowsLostError(
            f"{shard.folder}/{name} has {counted(metadata.num_rows, 'row')}, and its footer says {written.rows:,}"
        )
    written.name = f"{shard.folder}/{name}"
    return written, metadata.schema.to_arrow_schema().remove_metadata()


def _check_same(outputs: Sequence[ShardOutput]) -> None:
    """Check that all shards are of one job: the same listing, model, config and columns.

    Raises:
        ConfigError: They are not.
    """
    first = outputs[0]
    for one in outputs[1:]:
        if (one.part.listing, one.part.unit) != (first.part.listing, first.part.unit):
            changes = first.input.changes(replace(one.input, versions={**first.input.versions, **one.input.versions}))
            detail = f" ({changes})" if "changed" in changes else ""
            raise ConfigError(
                f"OUT: the table was changed between {first.shard.folder} and {one.shard.folder}{detail}: they were "
                "divided from different listings of its files, so rows could be missing or doubled; run all shards "
                "again over the table as it is, with output.overwrite=true, or over one version of it (input.version)"
            )
        mine = {**one.summary.identity, "written": one.summary.written}
        for key, value in {**first.summary.identity, "written": first.summary.written}.items():
            if key != "shard" and mine.get(key) != value:
                what = SAME_KEYS.get(key, key)
                raise ConfigError(
                    f"OUT: {first.shard.folder} and {one.shard.folder} were made with another {what}; run the one that "
                    "is wrong again with output.overwrite=true"
                )
    versions = {one.summary.lineage.get("vilt.versions") for one in outputs if one.files}
    if len(versions) > 1:
        emit(
            "warning",
            "the shards were made with different versions of libraries; the footers say which",
            logging.WARNING,
        )


def _check_division(outputs: Sequence[ShardOutput]) -> None:
    """Check that every file, or every row of every row group, of the table was some shard's, and of one alone.

    Raises:
        RowsLostError: Not so.
    """
    parts = [one.part for one in outputs]
    together, single = RowSet.union(part.assigned for part in parts), sum(len(part.assigned) for part in parts)
    if len(together) != single or len(together) != parts[0].total or any(p.total != parts[0].total for p in parts):
        raise RowsLostError(
            f"the shards read {single:,} {parts[0].unit} of the table, {len(together):,} different ones, and it has "
            f"{parts[0].total:,}: they were divided by different releases of this program; make all anew with "
            "output.overwrite=true"
        )


def _check_rows(outputs: Sequence[ShardOutput]) -> None:
    """Check that every row that a shard read is in its files, and in no other's. Raises RowsLostError if not."""
    for one in outputs:
        out = sum(len(file.complete) for file in one.files) + len({row for file in one.files for row in file.split})
        if (one.summary.rows_in, one.summary.rows_out) != (out, out):
            raise RowsLostError(
                f"{one.shard.folder}: {counted(one.summary.rows_in, 'row')} in, {counted(out, 'row')} out: remove "
                "the folder, and let its run make it anew"
            )
    _, bad = settle(file for one in outputs for file in one.files)
    if bad:
        raise RowsLostError(f"{bad[0].name} has rows that other files hold too, or lacks texts of its rows")


def _check_columns(outputs: Sequence[ShardOutput]) -> None:
    """Check that the columns of all shards fit together; say so if readers have to convert them."""
    files, schemas = [file.name for one in outputs for file in one.files], [s for one in outputs for s in one.schemas]
    if not schemas:
        return
    try:
        merged = unify(files, schemas)
    except ConfigError as error:
        raise ConfigError(str(error).replace("input.path", "OUT", 1)) from None
    odd = next((name for name, schema in zip(files, schemas, strict=True) if not schema.equals(merged)), None)
    if odd is not None:
        text = (
            f"the columns of {odd} have other types, or are others, than those of all shards together: {merged.names}"
        )
        emit("warning", text, logging.WARNING)
