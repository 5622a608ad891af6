"""Results that are written and not yet in the table: a folder of their own, from which the next run resumes.

OUT/parts/TOKEN/part-*.parquet are written where they will stay. A run numbers the files of the input as it finds them:
what an earlier one wrote is read with the new numbers, and rows of files that have changed since are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.columns import ERROR
from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import ROW_BITS, RowSet, row_key
from pipeline.results.delta.values import as_delta
from pipeline.results.file_footer import FOOTER, ResultFile, done_rows, settle, truncated_in
from pipeline.results.retried_rows import REST, drop_retryable
from pipeline.results.row_source import FileVersion, is_from
from pipeline.results.work_folder import WorkFolder, read_part, write_parquet
from pipeline.storage.filesystem import arrow_filesystem, full_uri
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted


class Staging:
    """The folder of a run; its name is the token of the commit to come.

    Attributes:
        parts: The whole files of results that are in it.
        in_table: Rows of the input, among those of the files being read, whose results the table has already.
    """

    def __init__(self, filesystem: AbstractFileSystem, folder: str) -> None:
        self.filesystem, self.folder = filesystem, folder
        self.token = folder.rpartition("/")[2]
        self.work = WorkFolder(filesystem, folder)
        self.parts: list[ResultFile] = []
        self.repeated_rows = 0
        self.in_table = RowSet.none()

    @property
    def uri(self) -> str:
        """Return the folder's address."""
        return full_uri(self.filesystem, self.folder)

    @property
    def written(self) -> RowSet:
        """Return the rows of the input whose results are in the folder."""
        return done_rows(self.parts)

    @property
    def done(self) -> RowSet:
        """Return the rows of the input that need not be read again."""
        return RowSet.union([self.written, self.in_table])

    def resume(self, table: TableFiles, types: Mapping[str, pa.DataType]) -> None:
        """Take over what earlier runs wrote of the files of `table`, and remove the rest.

        Args:
            table: The files being read.
            types: Types of the columns of the Delta table.
        """
        numbers = file_numbers(table)
        names = sorted(self.work.names())
        old = [name for name in names if name.startswith("part-")]
        parts = [self._take_over(written, numbers, types) for written in self.work.parts(old)]
        self.parts, _ = settle([part for part in parts if part is not None])
        self.work.remove(self.work.names() - {part.name for part in self.parts})

    def drop_retryable(self) -> None:
        """Read those rows again whose error may pass."""
        self.parts = drop_retryable(self.work, self.parts)

    def discard(self) -> None:
        """Remove what is in the folder."""
        self.work.remove(self.work.names())
        self.parts = []

    def audit(self, rows: int) -> None:
        """Check that all `rows` rows of the files being read have results, each once.

        Raises:
            RowsLostError: They have not.
        """
        good, bad = settle(self.parts)
        written = done_rows(good)
        if bad or len(written) + len(self.in_table) != rows or len(self.done) != rows:
            raise RowsLostError(
                f"{counted(rows, 'row')} in, {counted(len(self.done), 'row')} out, "
                f"{counted(len(bad), 'file that does', 'files that do')} not hold together: nothing was "
                "committed; run the same command again to finish what is missing"
            )

    def _take_over(
        self, written: ResultFile, numbers: Mapping[FileVersion, int], types: Mapping[str, pa.DataType]
    ) -> ResultFile | None:
        """Return a file of an earlier run with the numbers of this one; None if no row of it is needed.

        A file with rows that are not needed, or with columns of other types, is copied without them.
        """
        part = renumber(written, numbers)
        schema = pq.read_schema(f"{self.folder}/{written.name}", filesystem=arrow_filesystem(self.filesystem))
        fits = all(types.get(column.name, column.type) == column.type for column in schema)
        if len(part.file_versions) == len(written.file_versions) and fits:
            return part
        table, lineage = read_part(self.filesystem, f"{self.folder}/{written.name}")
        try:
            table = as_delta(table.filter(is_from(table, numbers.keys())), types)
        except pa.ArrowException:  # then the rows are read again
            return None
        if not table.num_rows:
            return None
        errors = Counter(
            {one["values"]: one["counts"] for one in pc.value_counts(table[ERROR].drop_null()).to_pylist()}
        )
        name = f"{REST}{written.name.removeprefix(REST).removeprefix('part-')}"
        left = {number: source for number, source in written.file_versions.items() if FileVersion(*source) in numbers}
        counts = {"rows": table.num_rows, "errors": errors, "truncated": truncated_in([table])}
        footer = replace(written, name=name, file_versions=left, **counts)  # with its old numbers
        write_parquet(self.filesystem, f"{self.folder}/{name}", [table], {**lineage, FOOTER: footer.to_json()})
        return replace(part, name=name, **counts)


def file_numbers(table: TableFiles) -> dict[FileVersion, int]:
    """Return the number of each file in the table, which the keys of its rows are made of."""
    return {FileVersion(file.name, file.file.version): number for number, file in enumerate(table.files)}


def renumber(written: ResultFile, numbers: Mapping[FileVersion, int]) -> ResultFile:
    """Return what a file holds with other numbers of the input's files, without the rows of files that have none."""
    versions = {old: FileVersion(*source) for old, source in written.file_versions.items()}
    moves = {old: numbers[version] for old, version in versions.items() if version in numbers}

    def moved(keys: RowSet) -> RowSet:
        out = []
        for old, new in moves.items():
            rows, shift = keys.between(row_key(old), row_key(old + 1)), (new - old) << ROW_BITS
            out.append(RowSet(rows.begins + shift, rows.ends + shift))
        return RowSet.union(out)

    def renumbered(key: int) -> int:
        return key + ((moves[key >> ROW_BITS] - (key >> ROW_BITS)) << ROW_BITS)

    return replace(
        written,
        complete=moved(written.complete),
        split={renumbered(key): of for key, of in written.split.items() if key >> ROW_BITS in moves},
        retryable=moved(written.retryable),
        file_versions={new: written.file_versions[old] for old, new in moves.items()},
    )
