"""Tars as the output of a job over tars: the samples of the input, each with its result.

- OUT/00000.tar: the members of OUT's input as they are, and a member more, or more fields in `.json`, for each sample
- OUT/sizes.json: how many samples each tar holds
- OUT/_results/00000.tar.parquet: the same results as a table, from which `vilt show`, `report` and `filter` read
"""

from __future__ import annotations

from typing import Any

from pipeline.common.summary import Summary
from pipeline.results.copied_files import counts_names
from pipeline.results.tar_results import check_tars, write_tars
from pipeline.results.work_folder import RESULTS
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob


class TarOutput(ParquetOutput):
    """Tars with results, and the results as Parquet files beside them."""

    ends = (".parquet", ".tar")

    def __init__(self, job: PreparedJob, retry_errors: bool = False) -> None:
        """Describe the output.

        Args:
            job: The job.
            retry_errors: Repeat the rows of finished results whose error may pass.

        Raises:
            ConfigError: The samples of the input cannot get their results.
        """
        check_tars(job.table, job.config)
        tars = [file.name for file in job.table.files]
        self._names = [*tars, *counts_names(job.table.format, tars)]
        super().__init__(job, retry_errors, RESULTS, ("", RESULTS), self._names)
        self._digest = ""

    def publish(self, summary: Summary) -> tuple[Summary, dict[str, Any]]:
        """Copy the tars, move the files to their place and write the summary."""
        self._digest = self.parts.digest
        return super().publish(summary)

    def write_more(self, summary: Summary) -> tuple[Summary, list[str]]:
        """Write the tars whose results are new into the work folder."""
        return summary, write_tars(self.folder.work, self.job.table, self.parts.parts, self._digest, self.job.config)

    def complete(self, summary: Summary, written: list[str]) -> Summary:
        """Return the summary with the names of all files of the results, those that stay as they were included."""
        del written
        return super().complete(summary, self._names)
