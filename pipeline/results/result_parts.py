"""The part files of a job: those that are written, those that earlier runs wrote, those that a retry keeps."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Protocol

from fsspec import AbstractFileSystem

from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import RowSet
from pipeline.results.file_footer import ResultFile, done_rows, settle
from pipeline.results.joined_files import join_small_files
from pipeline.results.output_folder import OutputFolder
from pipeline.results.retried_rows import drop_retryable, without_retryable
from pipeline.results.work_folder import WorkFolder
from pipeline.storage.filesystem import make_folder
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.tables.table import TableFiles

ROWS = "rows"  # folder of parts that are to be put in the order of the input


class StagedParts(Protocol):
    """Where the part files of a run are written, and which rows of the input need not be read again."""

    filesystem: AbstractFileSystem
    folder: str
    parts: list[ResultFile]
    repeated_rows: int

    @property
    def uri(self) -> str:
        """Return the URI of the folder."""

    @property
    def done(self) -> RowSet:
        """Return the rows of the input that need not be read again."""


class ResultParts:
    """The part files of a job in its output folder.

    Attributes:
        parts: Whole files of this job in the work folder.
        kept: Files of finished results that stay, when their errors are retried.
        repeated_rows: Rows that were scored again in this run.
    """

    def __init__(self, output: OutputFolder, subfolder: str = "", in_input_order: bool = False) -> None:
        """Name the folder; nothing is read.

        Args:
            output: The output folder.
            subfolder: Of the output, in which the parts will lie.
            in_input_order: Whether results have the order and the files of the input.
        """
        self.in_input_order = in_input_order
        self.output, self.subfolder, self.filesystem = output, subfolder, output.filesystem
        self._below_work = ROWS if in_input_order else subfolder  # so that no name is one of the input's files
        self.work = WorkFolder(output.filesystem, f"{output.work.path}/{self._below_work}".rstrip("/"))
        self.folder = self.work.path
        self.parts: list[ResultFile] = []
        self.kept: list[ResultFile] = []
        self.repeated_rows = 0

    @property
    def uri(self) -> str:
        """Return the URI of the folder that parts are written to."""
        return f"{self.output.uri}/{self._below_work}".rstrip("/")

    @property
    def done(self) -> RowSet:
        """Return the rows of the input that need not be read again."""
        return done_rows(self.all())

    @property
    def digest(self) -> str:
        """Return a hash of which new part files there are: their names say run and task, and they are written once."""
        return hashlib.sha256(json.dumps(sorted((part.name, part.at) for part in self.parts)).encode()).hexdigest()

    def all(self) -> list[ResultFile]:
        """Return every file that the results will have."""
        return [*self.kept, *self.parts]

    def names(self) -> list[str]:
        """Return the names of the files that the results will have, relative to the output folder, sorted."""
        return sorted(self._below(part.name) for part in self.all())

    def new_names(self) -> list[str]:
        """Return the names of the files to publish, relative to the work folder and to the output folder."""
        return [self._below(part.name) for part in self.parts]

    def load(self) -> None:
        """Read what earlier runs of the job wrote; remove files that do not hold together or are no parts."""
        make_folder(self.filesystem, self.folder)
        names = sorted(name for name in self.work.names() if name.endswith(".parquet"))
        parts = [name for name in names if name.startswith("part-")]
        self.parts, bad = settle(self.work.parts(parts))
        self.work.remove([*(part.name for part in bad), *(name for name in names if name not in parts)])

    def keep_finished(self) -> bool:
        """Keep finished results but for the rows whose error may pass; return whether there are such rows."""
        folder = WorkFolder(self.filesystem, f"{self.output.path}/{self.subfolder}".rstrip("/"))
        found = [name for name in self.output.results() if name.endswith(".parquet")]
        if self.in_input_order:
            results = [name.removeprefix(self._below("")) for name in found if name.startswith(self._below(""))]
        else:
            results = [name.rpartition("/")[2] for name in found if name == self._below(name)]
        replaced, removed = {part.replaces for part in self.parts}, []
        for written in folder.parts(results):
            if written.name not in replaced and not len(written.retryable):
                self.kept.append(written)
                continue
            removed.append(self._below(written.name))
            if written.name in replaced:
                continue
            rest = without_retryable(folder, written, self.folder, written.name, self.in_input_order)
            self.parts += [] if rest is None else [rest]
        self.output.replaced = removed
        return bool(removed)

    def drop_retryable(self) -> None:
        """Read those rows of unfinished work again whose error may pass."""
        self.parts = drop_retryable(self.work, self.parts)

    def join_small(self, least_bytes: int) -> None:
        """Join part files of fewer than `least_bytes` into files of about so many; see `join_small_files`."""
        self.parts = join_small_files(self.work, self.parts, least_bytes)

    def put_in_input_order(self, table: TableFiles) -> None:
        """Write the parts anew, in the order and the files of the input; see `write_in_input_order`."""
        from pipeline.results.input_order import write_in_input_order  # with all table formats, and Ray Data

        to = WorkFolder(self.filesystem, f"{self.output.work.path}/{self.subfolder}".rstrip("/"))
        self.parts = write_in_input_order(self.work, self.parts, to, table, done_rows(self.kept))

    def audit(self, rows: int) -> None:
        """Check that the files hold all `rows` rows of the input, each once.

        Raises:
            RowsLostError: Rows are missing, doubled, or split between files that are not all there.
        """
        good, bad = settle(self.all())
        out = sum(len(part.complete) for part in good) + len({row for part in good for row in part.split})
        if bad or out != rows:
            raise RowsLostError(
                f"{counted(rows, 'row')} in, {counted(out, 'row')} out, "
                f"{counted(len(bad), 'file that does', 'files that do')} not hold together: nothing was published to "
                f"{self.output.path}; run the same command again to finish what is missing"
            )

    def _below(self, name: str) -> str:
        """Return a file's path relative to the output folder."""
        name = name if self.in_input_order else name.rpartition("/")[2]
        return f"{self.subfolder}/{name}" if self.subfolder else name
