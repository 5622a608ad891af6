"""A Lance dataset as the output of a job: columns of the input itself, or a table of its own.

- OUT: the dataset. If it is the input, its next version has the columns of the results; else it has the rows that
  Parquet files of results would have
- OUT/_results/...parquet: the same results, from which `vilt show`, `report` and `filter` read
- OUT/_progress/base.json: the version of OUT when the unfinished job began
"""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.summary import Summary
from pipeline.common.tasks import result_columns
from pipeline.results.input_order import result_name
from pipeline.results.lance_results import NEEDS, LanceTarget, ResultsWriter, with_vectors
from pipeline.results.output_folder import BASE
from pipeline.results.work_folder import RESULTS
from pipeline.scoring.lance_version import VERSION, job_id
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.output_rows import carried_names
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.formats.lance.format import load_lance
from pipeline.tables.formats.lance.reader import fragment_id


class LanceOutput(ParquetOutput):
    """A Lance dataset, and the results as Parquet files in it."""

    def __init__(self, job: PreparedJob, retry_errors: bool = False) -> None:
        """Describe the output.

        Args:
            job: The job.
            retry_errors: Not for Lance datasets.

        Raises:
            ConfigError: The dataset cannot have the results.
        """
        if retry_errors:
            raise ConfigError(
                "--retry-errors: not for output.format=lance, whose rows are written once; set output.overwrite=true"
                f"{' and drop the columns of the results first' if job.config.adds_to_input else ''} to make all anew"
            )
        super().__init__(job, subfolder=RESULTS, folders=("", RESULTS))
        self.target = LanceTarget.at(self.folder.filesystem, self.folder.path, job.config.storage)
        self.in_place = job.config.adds_to_input
        if self.in_place and job.table.format.name != "lance":
            raise ConfigError(f"output.path: the input's own, but that is {job.table.format.name}, no Lance dataset")
        if not self.in_place:
            _rehearse(job)
        self._digest, self._base, self._version = "", 0, 0

    def begin(self) -> Summary | None:
        """Find out where the job stands, and which version of the dataset the results are for.

        Raises:
            ConfigError: There is a dataset of somebody else's, or it was changed since the job began.
        """
        finished = super().begin()
        if finished is not None:
            return finished
        noted, latest = self.folder.work.read(BASE), self.target.latest()
        if noted is None and self.in_place:
            noted = {VERSION: int(self.job.table.version.rpartition(" ")[2])}
        elif noted is None:
            if latest and not (self.folder.replaced or self.job.config.output.overwrite):
                raise ConfigError(
                    f"output.path: {self.folder.path!r} already holds a Lance dataset; choose another folder, or set "
                    "output.overwrite=true to write its next version"
                )
            noted = {VERSION: latest}
        self._base = noted[VERSION]
        if latest != self._base and self.target.committed(self._base, self._job) is None:
            raise self.target.moved_on(self._base)
        self.folder.work.write(BASE, noted)
        return None

    def write_more(self, summary: Summary) -> tuple[Summary, list[str]]:
        """Write the results to the dataset and commit, unless an earlier run has."""
        version = self.target.committed(self._base, self._job)
        if version is None and self.parts.parts:
            version = self._commit()
        self._version = version or self._base
        return replace(summary, committed=f"Lance version {self._version}"), []

    def publish(self, summary: Summary) -> tuple[Summary, dict[str, Any]]:
        """Commit, move the files to their place and write the summary."""
        self._digest = self.parts.digest
        summary, fields = super().publish(summary)
        return summary, {**fields, "version": self._version}

    def _commit(self) -> int:
        """Write the results to the dataset and commit; return the new version."""
        work, table, parts = self.folder.work, self.job.table, sorted(self.parts.parts, key=lambda part: part.name)
        results = f"{work.path}/{RESULTS}"
        schema = pq.read_schema(f"{results}/{parts[0].name}", filesystem=arrow_filesystem(work.filesystem))
        names = (
            result_columns(self.job.config.tasks, bool(self.job.config.negatives)) if self.in_place else schema.names
        )
        columns = pa.schema([(name, schema.field(name).type) for name in names if name in schema.names])
        columns = with_vectors(columns, work, [f"{results}/{part.name}" for part in parts])
        writer = ResultsWriter(work, self._job, self._digest, columns)
        self.folder.lock.check()
        if not self.in_place:
            files = [(number, f"{results}/{part.name}") for number, part in enumerate(parts)]
            return self.target.overwrite(self._base, files, writer)
        held = {part.name for part in parts}
        named = [(fragment_id(opened.file), result_name(table, opened)) for opened in table.files]
        found = [(number, f"{results}/{name}" if name in held else None) for number, name in named]
        return self.target.add_columns(self._base, found, writer)

    @property
    def _job(self) -> str:
        return job_id(self.job.identity, self.folder.written)


def _rehearse(job: PreparedJob) -> None:
    """Write a row of nulls with the columns that rows of results carry, in a temporary folder.

    Raises:
        ConfigError: Lance has no such columns.
    """
    lance, schema = load_lance(NEEDS), job.table.schema
    names = [name for name in carried_names(schema, job.config) if name in job.table.columns.names]
    with TemporaryDirectory(prefix="vilt-lance-") as folder:
        for number, name in enumerate(names):
            try:
                lance.write_dataset(pa.table({name: pa.nulls(1, schema.field(name).type)}), f"{folder}/{number}.lance")
            except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
                raise ConfigError(
                    f"output.format: 'lance' has no values of {schema.field(name).type}, as in column {name!r} "
                    f"({first_line(error)}): list the columns to carry without it in input.columns"
                ) from None
