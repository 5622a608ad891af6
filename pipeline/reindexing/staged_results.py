"""Results that are written and ready to be committed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.reindexing.input_snapshot import InputSnapshot
from pipeline.reindexing.plan import ReindexPlan
from pipeline.reindexing.retries import FailedRows
from pipeline.reindexing.rewriting import Rewritten
from pipeline.results.file_footer import ResultFile


@dataclass(frozen=True)
class StagedResults:
    """The files of a run, and what the next one needs to know.

    Attributes:
        plan: What was to do.
        token: Name of the folder with the files.
        results: Files with the rows that were read.
        moved: How many rows keep their results under a new key.
        rewritten: Data files that are replaced.
        columns: The columns of the table after the commit, but for those that results add.
        snapshot: The input that the table is made from after the commit.
        failed: The rows whose error may pass after the commit.
        failed_as_before: Whether rows were read again, nothing else was done, and each has the error that it had.
    """

    plan: ReindexPlan
    token: str
    results: tuple[ResultFile, ...]
    moved: int
    rewritten: tuple[Rewritten, ...]
    columns: pa.Schema
    snapshot: InputSnapshot
    failed: FailedRows
    failed_as_before: bool

    @property
    def total(self) -> ResultFile:
        """Return the counts of the rows that were read."""
        return ResultFile.total(self.results)
