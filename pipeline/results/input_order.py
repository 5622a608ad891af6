"""Results in the order and the files of the input: `output.join`.

While a job runs, its part files hold rows as they come, sorted by their keys, and the keys. Once it is whole, a file is
written for each file of the input, from the parts that hold its rows.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.columns import ERROR, ROW_KEY, STATS, TEXTS
from pipeline.common.error_codes import TRIED_BY_NEXT_RUN
from pipeline.common.errors import ConfigError, RowsLostError
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.results.file_footer import FOOTER, ResultFile, truncated_in
from pipeline.results.joined_files import JOINERS, PRECISION, row_groups
from pipeline.results.work_folder import NOT_KEPT, WorkFolder, each
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.formats.parquet.partitions import find_partitions
from pipeline.tables.opened_table import OpenedFile
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted

GROUP_ROWS = 4096  # of a row group of a part: what is read to find a row
GROUP_BYTES = 2**24
READ_BYTES = 2**27  # of the rows that are put in order at a time


def in_key_order(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the rows of tables in the order of their keys, in tables for a row group each, with the column of keys."""
    table = pa.concat_tables(tables).drop_columns([TEXTS, STATS]).sort_by(ROW_KEY)
    rows = max(1, min(GROUP_ROWS, GROUP_BYTES * table.num_rows // max(1, table.nbytes)))
    return [table.slice(begin, rows) for begin in range(0, table.num_rows, rows)]


def check_file_names(table: TableFiles) -> None:
    """Check that results can have the files of a table.

    Raises:
        ConfigError: They cannot.
    """
    if table.format.copied_together > 1:
        raise ConfigError(
            f"output.join: a table of the format {table.format.name} has a file for each row: leave the key out"
        )
    for opened in table.files:
        if any(part.startswith(("_", ".")) for part in result_name(table, opened).split("/")):
            raise ConfigError(
                f"output.join: a file of the name {opened.name!r} would be hidden among the results; rename it, or "
                "leave the key out"
            )


def result_name(table: TableFiles, opened: OpenedFile) -> str:
    """Return the name of the file of results of a file of the input."""
    name = table.format.copy_name(opened.file)
    return name if name.endswith(".parquet") else f"{name}.parquet"


@dataclass(frozen=True)
class _Part:
    """A part file, of which rows are read by their keys.

    Attributes:
        path: The file.
        result: What it holds.
        row_bytes: Bytes of a row, uncompressed, on average.
        first: int64 (groups,), the first key of each row group.
        last: int64 (groups,), the last one.
    """

    path: str
    result: ResultFile
    row_bytes: int
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    @classmethod
    def open(cls, path: str, result: ResultFile, arrow: pyarrow.fs.FileSystem) -> _Part:
        """Read what a part file says of its row groups; it is not kept open, since there may be many."""
        metadata = pq.read_metadata(path, filesystem=arrow)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        names = [groups[0].column(i).path_in_schema for i in range(metadata.num_columns)]
        found = [group.column(names.index(ROW_KEY)).statistics for group in groups]
        first, last = (np.array([getattr(one, end) for one in found], np.int64) for end in ("min", "max"))
        size = sum(group.total_byte_size for group in groups)
        return cls(path, result, max(1, size // metadata.num_rows), first, last)

    def read(self, begin: int, end: int, columns: Sequence[str], arrow: pyarrow.fs.FileSystem) -> list[pa.Table]:
        """Return the rows from key `begin` up to, not including, `end`, with their keys, if there are any."""
        groups = np.flatnonzero((self.first < end) & (self.last >= begin)).tolist()
        if not groups:
            return []
        table = guarded_table(self.path, arrow, [*columns, ROW_KEY], groups).replace_schema_metadata(None)
        low, high = np.searchsorted(table[ROW_KEY].to_numpy(), [begin, end])
        return [table.slice(low, high - low).select([*columns, ROW_KEY])] if low < high else []


@dataclass(frozen=True)
class _Writer:
    """Writes files of results in the order of the input.

    Attributes:
        folder: The folder of the files.
        table: The input.
        schema: The columns of the files, with what their footers say of how the results were made.
    """

    folder: WorkFolder
    table: TableFiles
    schema: pa.Schema

    @property
    def arrow(self) -> pyarrow.fs.FileSystem:
        """Return the storage, for pyarrow."""
        return arrow_filesystem(self.folder.filesystem)

    def write(self, number: int, parts: Sequence[_Part], counts: ResultFile) -> ResultFile:
        """Write the file of results of a file of the input; return what it holds.

        Args:
            number: The file of the input.
            parts: The parts that hold its rows.
            counts: Counts that are not of rows, which the file's footer is to have.
        """
        opened, name = self.table.files[number], result_name(self.table, self.table.files[number])
        path, keys, retryable = f"{self.folder.path}/{name}", list[RowSet](), list[RowSet]()
        rows, truncated, errors = 0, 0, Counter[str]()
        make_folder(self.folder.filesystem, path.rpartition("/")[0])
        with pq.ParquetWriter(path, self.schema, filesystem=self.arrow, compression="zstd") as writer:
            for group in row_groups(self._ordered(number, parts)):
                found = group[ROW_KEY].to_numpy()
                retried = pc.fill_null(pc.is_in(group[ERROR], pa.array(sorted(TRIED_BY_NEXT_RUN))), False).to_numpy()
                keys.append(RowSet.of(found))
                retryable.append(RowSet.of(found[retried]))
                errors.update(error for error in group[ERROR].to_pylist() if error)
                truncated += truncated_in([group])
                rows += group.num_rows
                writer.write_table(group.select(self.schema.names).replace_schema_metadata(self.schema.metadata))
            complete = RowSet.union(keys)
            if not rows == len(complete) == opened.rows:
                raise RowsLostError(
                    f"{opened.name}: {counted(opened.rows, 'row')} in, {counted(rows, 'row')} out: nothing was "
                    f"published; run the same "
                    "command again"
                )
            result = replace(
                counts,
                name=name,
                complete=complete,
                retryable=RowSet.union(retryable),
                rows=rows,
                errors=errors,
                truncated=truncated,
                at=time.time(),
            )
            writer.add_key_value_metadata({FOOTER: result.to_json()})
        return result

    def _ordered(self, number: int, parts: Sequence[_Part]) -> Iterator[pa.Table]:
        """Yield the rows of a file of the input in their order, as many at a time as fit in memory."""
        if not parts:
            return
        end = row_key(number, sum(split.all_rows for split in self.table.files[number].splits))
        step = max(1, READ_BYTES // max(part.row_bytes for part in parts))
        for begin in range(row_key(number), end, step):
            until = min(begin + step, end)
            found = [rows for part in parts for rows in part.read(begin, until, self.schema.names, self.arrow)]
            if found:
                yield pa.concat_tables(found).sort_by(ROW_KEY)


def write_in_input_order(
    folder: WorkFolder, parts: Sequence[ResultFile], to: WorkFolder, table: TableFiles, published: RowSet
) -> list[ResultFile]:
    """Write a file of results for each file of the input that has none.

    Args:
        folder: The folder of the parts, which are not removed.
        parts: What they hold: all rows but the published ones.
        to: The folder for the files.
        table: The input.
        published: Rows in files of finished results that stay.

    Returns:
        What the files hold; their names are those of the input's files. What cannot be told apart by rows, as counts of
        micro-batches, the first of them has.

    Raises:
        RowsLostError: The parts do not hold each row once.
    """
    if not parts:
        return []
    arrow = arrow_filesystem(folder.filesystem)
    of_file = defaultdict[int, list[_Part]](list)
    for part in each(lambda part: _Part.open(f"{folder.path}/{part.name}", part, arrow), parts):
        for number in dict.fromkeys(number for number, _, _ in part.result.complete.ranges()):
            of_file[number].append(part)
    writer = _Writer(to, table, _schema(folder, parts, table))
    todo = [n for n, file in enumerate(table.files) if n in of_file or (not file.rows and not len(published))]
    first = _not_of_rows(parts)
    counts = {number: ResultFile(steps=[(first.steps[-1][0], 0)]) for number in todo}  # no rows that it has counted
    counts[todo[0]] = first
    with ThreadPoolExecutor(JOINERS) as pool:
        return list(pool.map(lambda number: writer.write(number, of_file.get(number, []), counts[number]), todo))


def _schema(folder: WorkFolder, parts: Sequence[ResultFile], table: TableFiles) -> pa.Schema:
    """Return the columns of the files of results, with what the footers of the parts say, of one part of each run.

    Columns that the names of the input's folders say are not in the input's files, and not in those of the results.
    """
    partitions = find_partitions([file.name for file in table.files]) if table.format.name == "parquet" else None
    dropped, lineage = {ROW_KEY, *(partitions.columns.names if partitions else ())}, dict[str, str]()
    runs = {part.name.rpartition("-")[0]: part.name for part in parts}
    for name in runs.values():
        schema = pq.read_schema(f"{folder.path}/{name}", filesystem=arrow_filesystem(folder.filesystem))
        found = (schema.metadata or {}).items()
        lineage |= {key.decode(): value.decode(errors="replace") for key, value in found if key not in NOT_KEPT}
    if devices := Counter(device for part in parts for device in part.devices):
        lineage[PRECISION] = ", ".join(sorted(devices))
    return pa.schema([field for field in schema if field.name not in dropped]).with_metadata(lineage)


def _not_of_rows(parts: Sequence[ResultFile]) -> ResultFile:
    """Return the counts of files that rows do not have."""
    names = ("micro_batches", "pairs", "tokens", "capacity", "model_seconds", "devices", "grids")
    total = ResultFile.total(parts)
    steps = sorted(step for part in parts for step in part.timeline)
    return ResultFile(**{name: getattr(total, name) for name in names}, steps=steps)
