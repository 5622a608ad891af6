"""Join small part files into files of a good size, once a job is whole.

A job writes a file as soon as some thousands of rows are ready, since a stop costs what is not written. Readers want
few and large files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pipeline.common.errors import RowsLostError
from pipeline.results.file_footer import FOOTER, ResultFile, done_rows
from pipeline.results.work_folder import WorkFolder, read_part, write_parquet

GROUP_BYTES = 2**26  # of a row group, in memory
JOINERS = 4  # files that are written at the same time
PRECISION = "vilt.precision"


def join_small_files(folder: WorkFolder, parts: Sequence[ResultFile], least_bytes: int) -> list[ResultFile]:
    """Write files of about `least_bytes` with the rows of smaller ones, in their order; larger ones stay.

    Files are joined with others of the same run alone, since their footers say what made them. The small files are not
    removed: until the job is published, a run that resumes begins with them.

    Args:
        folder: The folder of the files.
        parts: What they hold.
        least_bytes: Bytes below which a file is small.

    Returns:
        The files that the results will have.

    Raises:
        RowsLostError: They do not hold the same rows.
    """
    sizes = folder.sizes()
    small = sorted((part for part in parts if sizes[part.name] < least_bytes), key=lambda part: part.name)
    groups = [group for of_run in _by_run(small) for group in _groups(of_run, sizes, least_bytes)]
    alone = {part.name for group in groups if len(group) == 1 for part in group}
    with ThreadPoolExecutor(JOINERS) as pool:
        joined = list(pool.map(lambda group: _join(folder, group), [group for group in groups if len(group) > 1]))
    files = [*(part for part in parts if sizes[part.name] >= least_bytes or part.name in alone), *joined]
    if sum(file.rows for file in files) != sum(part.rows for part in parts) or done_rows(files) != done_rows(parts):
        raise RowsLostError(
            "joining small files of results lost rows, a fault of this program: nothing was published; "
            "output.file_bytes=0 leaves the files as they are"
        )
    return files


def _by_run(parts: Iterable[ResultFile]) -> Iterable[list[ResultFile]]:
    """Return the files of each run: their names differ in the number of the task alone."""
    runs: dict[str, list[ResultFile]] = defaultdict(list)
    for part in parts:
        runs[part.name.rpartition("-")[0]].append(part)
    return runs.values()


def _groups(parts: Sequence[ResultFile], sizes: dict[str, int], least_bytes: int) -> list[list[ResultFile]]:
    """Return neighbours that together have `least_bytes`; the last ones go to those before them."""
    groups: list[list[ResultFile]] = [[]]
    size = 0
    for part in parts:
        groups[-1].append(part)
        size += sizes[part.name]
        if size >= least_bytes:
            groups.append([])
            size = 0
    if size < least_bytes and len(groups) > 1:
        rest = groups.pop()
        groups[-1] += rest
    return groups


def _join(folder: WorkFolder, group: Sequence[ResultFile]) -> ResultFile:
    """Write the rows of some files to one."""
    name = f"results-{group[0].name.removeprefix('part-')}"
    metadata: dict[str, str] = {}
    joined = ResultFile.joined(name, group)

    def tables() -> Iterator[pa.Table]:
        for part in group:
            table, lineage = read_part(folder.filesystem, f"{folder.path}/{part.name}")
            metadata.update({**lineage, **metadata})
            yield table

    groups = list(row_groups(tables()))
    if joined.devices:
        metadata[PRECISION] = ", ".join(sorted(joined.devices))
    write_parquet(folder.filesystem, f"{folder.path}/{name}", groups, {**metadata, FOOTER: joined.to_json()})
    return joined


def row_groups(tables: Iterable[pa.Table], most_bytes: int = GROUP_BYTES) -> Iterator[pa.Table]:
    """Yield the rows of tables of one schema in tables of about `most_bytes`, for a row group each."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size >= most_bytes:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)
