"""Copy the tars of the input with the result of each sample added: `output.format=webdataset`.

The results are written to Parquet files first, in the order of the samples. Each tar that is copied is noted, so that a
run that resumes does not copy it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.common.tasks import result_columns
from pipeline.config.job import JobConfig
from pipeline.results.copied_files import copy_file, write_counts
from pipeline.results.file_footer import ResultFile
from pipeline.results.input_order import result_name
from pipeline.results.results_version import member_name
from pipeline.results.work_folder import RESULTS, WorkFolder
from pipeline.storage.filesystem import arrow_filesystem, make_folder, patiently
from pipeline.storage.parquet.reading import guarded_batches
from pipeline.tables.format import AddedMember
from pipeline.tables.formats.webdataset.tar_copy import JSON
from pipeline.tables.table import TableFiles

COPIED = "copied"  # folder of the unfinished job: a small file for each tar that is copied
COPIERS = 4  # tars that are copied at the same time
BATCH_ROWS = 2**10  # of results that are read at a time


def check_tars(table: TableFiles, config: JobConfig) -> None:
    """Check that the samples of a table can get their results.

    Raises:
        ConfigError: The table is no tars, or its samples have such a member or such fields.
    """
    if not table.format.copies_files:
        raise ConfigError(
            f"output.format: 'webdataset', but the input is {table.format.name}: results are added to the tars that "
            "hold the samples; leave the key out"
        )
    member = member_name(config)
    if member != JSON and member in table.members:
        raise ConfigError(
            f"output.member: the samples have a member {member!r} already: name another, as output.member=vilt.{JSON}"
        )
    known = {*table.schema.names, *table.unreadable}
    clash = [name for name in result_columns(config.tasks, bool(config.negatives)) if name in known]
    if member == JSON and clash:
        raise ConfigError(
            f"output.member: 'json', but the samples' .json has a field {clash[0]!r} already, which the result would "
            "have, too: leave the key out"
        )


def write_tars(
    work: WorkFolder,
    table: TableFiles,
    parts: Sequence[ResultFile],
    digest: str,
    config: JobConfig,
) -> list[str]:
    """Copy those tars whose results are new, with the results; and count the samples of all.

    Args:
        work: The folder of the unfinished job.
        table: The tars.
        parts: The files of new results, each of one tar.
        digest: Of what these results are from, see `ResultParts.digest`.
        config: The job.

    Returns:
        The files that were written, relative to the folder of the job.

    Raises:
        ConfigError: A tar was changed meanwhile.
        RowsLostError: A tar has other samples than were counted.
    """
    marks = WorkFolder(work.filesystem, f"{work.path}/{COPIED}")
    make_folder(work.filesystem, marks.path)
    done, of_parts = marks.names(), {part.name: part for part in parts}
    columns = result_columns(config.tasks, bool(config.negatives))
    every = list(enumerate(table.files))
    todo = [number for number, opened in every if result_name(table, opened) in of_parts or not table.rows]
    names = [table.files[number].name for number in todo]
    for folder in {one.name.rpartition("/")[0] for one in table.files} - {""}:
        make_folder(work.filesystem, f"{work.path}/{folder}")

    def copy(number: int) -> None:
        opened, mark = table.files[number], f"{number:08d}.json"
        written = {"results": digest}
        if mark in done and marks.read(mark) == written:
            return
        part = of_parts.get(result_name(table, opened))

        def attempt() -> Iterator[None]:
            results = _results(work.filesystem, f"{work.path}/{RESULTS}/{part.name}", columns) if part else iter(())
            added = AddedMember(member_name(config), results)
            copy_file(table, number, _always, work.filesystem, f"{work.path}/{opened.name}", added)
            yield None

        list(patiently(attempt, opened.name))
        marks.write(mark, written)

    with ThreadPoolExecutor(COPIERS) as pool:
        list(pool.map(copy, todo))
    counts = write_counts(table.format, {one.name: one.rows for one in table.files}, work.filesystem, work.path)
    return [*names, *counts]


def _always(row: int) -> bool:
    del row
    return True


def _results(filesystem: AbstractFileSystem, path: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield the result of each row of a file as a JSON object."""
    arrow = arrow_filesystem(filesystem)
    for batch in guarded_batches(path, arrow, columns, BATCH_ROWS, lenient=True):
        for row in batch.to_pylist():
            yield json.dumps(row)
