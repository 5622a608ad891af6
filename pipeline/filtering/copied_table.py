"""Copy the kept rows of a whole table, in its order and files or sorted, and check that each row was written once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipeline.common.errors import RowsLostError
from pipeline.config.filter import FilterConfig
from pipeline.filtering.copying import Copied, CopiedFile, copy_dropped, copy_files
from pipeline.filtering.selection import Selection
from pipeline.filtering.sorting import copy_sorted
from pipeline.results.output_folder import OutputFolder
from pipeline.results.work_folder import WorkFolder
from pipeline.storage.filesystem import make_folder, patiently
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted

COPIERS = 4  # files that are copied at the same time
COPIED = "copied"  # folder of the unfinished filter: a small file for each group of files that is copied


def copy_table(config: FilterConfig, table: TableFiles, selection: Selection, folder: OutputFolder) -> Copied:
    """Write the kept rows, in the order and the files of the table or sorted, and the lists of the others.

    Raises:
        ConfigError: The table holds values that cannot be copied as they are.
        RowsLostError: Not every row was written once.
    """
    output, groups = config.output, _groups(table)
    if output.sort is None:
        files = _copy_files(table, selection, folder, output.scores)
        for group, file in zip(groups, files, strict=True):
            _check_rows(table, group, file.kept, file.dropped)
        return Copied.of(files)

    def attempt() -> Iterator[Copied]:
        kept = copy_sorted(table, sort, selection, folder.filesystem, folder.work.path, output.scores)
        lists = [copy_dropped(table, group, selection, folder.filesystem, folder.work.path) for group in groups]
        yield Copied(kept, dict(lists))

    sort = output.sort
    copied = next(iter(patiently(attempt, config.output.path)))
    everything = range(len(table.files))
    _check_rows(table, everything, sum(copied.kept.values()), sum(copied.dropped.values()))
    return copied


def _copy_files(table: TableFiles, selection: Selection, folder: OutputFolder, with_scores: bool) -> list[CopiedFile]:
    """Copy the kept rows of all files, some files at a time, with retries; files that a stopped run copied are kept."""
    done = WorkFolder(folder.filesystem, f"{folder.work.path}/{COPIED}")
    names = done.names()
    make_folder(folder.filesystem, done.path)

    def attempt(numbers: Sequence[int]) -> Iterator[CopiedFile]:
        yield copy_files(table, numbers, selection, folder.filesystem, folder.work.path, with_scores)

    def copy(numbers: Sequence[int]) -> CopiedFile:
        marker = f"{numbers[0]:08d}.json"
        if marker in names and (copied := done.read(marker)):
            return CopiedFile(**copied)
        found = next(iter(patiently(partial(attempt, numbers), table.files[numbers[0]].name)))
        done.write(marker, found._asdict())
        return found

    with ThreadPoolExecutor(COPIERS) as pool:
        return list(pool.map(copy, _groups(table)))


def _groups(table: TableFiles) -> list[range]:
    """Return the numbers of the files whose rows are copied to one file."""
    count, step = len(table.files), table.format.copied_together
    return [range(begin, min(begin + step, count)) for begin in range(0, count, step)]


def _check_rows(table: TableFiles, numbers: Sequence[int], kept: int, dropped: int) -> None:
    """Check that each row of some files was written once.

    Raises:
        RowsLostError: Not so.
    """
    rows = sum(table.files[number].rows for number in numbers)
    if rows != kept + dropped:
        raise RowsLostError(
            f"{table.files[numbers[0]].name}: {counted(rows, 'row')} in, {kept} kept and {dropped} dropped: nothing "
            f"was "
            "published; was the table changed meanwhile? run the same command again"
        )
