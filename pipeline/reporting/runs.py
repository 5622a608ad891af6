"""The two runs of a comparison: open each, and check that equal ids are the same rows in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.common.columns import ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import same_ids
from pipeline.config.storage import StorageConfig
from pipeline.results.loading import Outcomes, outcomes_of
from pipeline.results.reader import read_summary
from pipeline.results.result_table import result_files
from pipeline.tables.table import TableFiles


@dataclass(frozen=True)
class Run:
    """One of the two runs.

    Attributes:
        uri: Its output folder.
        summary: Its summary.
        table: Its results, of a rank job those of the images.
        outcomes: Which columns say how a row came out.
    """

    uri: str
    summary: dict[str, Any]
    table: TableFiles
    outcomes: Outcomes

    @property
    def id_type(self) -> pa.DataType:
        """Return the type of the row ids."""
        return self.table.schema.field(ROW_ID).type

    @property
    def id_column(self) -> str | None:
        """Return the column of the input that the ids are from; None if they are hashes of file and row."""
        return self.summary.get("input", {}).get("id")


def open_run(uri: str, storage: StorageConfig) -> Run:
    """Open the output of a finished job, to compare it with another.

    Raises:
        ConfigError: It is none, or one whose rows cannot be compared.
    """
    summary = read_summary(uri, "OUT", storage)
    tasks = summary["tasks"]
    if tasks == ["filter"]:
        raise ConfigError(
            f"OUT: {uri!r} is the output of vilt filter, which does not hold the scores of all rows; compare the "
            f"scores: {summary.get('scores_from', 'the folder in scores')}"
        )
    table = result_files(uri, storage)
    if ROW_ID not in table.schema.names:
        raise ConfigError(f"OUT: {uri!r} has no column {ROW_ID!r}: these are not the results of a job")
    return Run(uri, summary, table, outcomes_of(tasks, table.schema))


def check_comparable(first: Run, second: Run) -> None:
    """Check that equal ids are the same rows in both runs, and that there is something to compare.

    Raises:
        ConfigError: Not so.
    """
    if first.outcomes.score != second.outcomes.score or (first.outcomes.score is None and not first.outcomes.answer):
        names = [run.outcomes.score or "no scores" for run in (first, second)]
        raise ConfigError(
            f"{first.uri!r} has {names[0]} ({', '.join(first.summary['tasks'])}) and {second.uri!r} has {names[1]} "
            f"({', '.join(second.summary['tasks'])}): compare two runs of the same task that makes scores or answers"
        )
    lists = [TEXT_INDEX in run.table.schema.names for run in (first, second)]
    if lists[0] != lists[1]:
        uri = (first if lists[0] else second).uri
        raise ConfigError(f"{uri!r} has several texts a row, the other run one: name runs over the same text column")
    ids = [run.id_column for run in (first, second)]
    if (ids[0] is None) != (ids[1] is None):
        raise ConfigError(
            f"{first.uri!r} was made with input.id={ids[0]} and {second.uri!r} with input.id={ids[1]}: their ids are "
            "not the same; run both with the same input.id"
        )
    if not same_ids(first.id_type, second.id_type):
        raise ConfigError(f"row_id is {first.id_type} in {first.uri!r} and {second.id_type} in {second.uri!r}")
    inputs = [run.summary.get("identity", {}).get("input") for run in (first, second)]
    if ids[0] is None and (inputs[0] is None or inputs[0] != inputs[1]):
        raise ConfigError(
            f"{first.uri!r} and {second.uri!r} were made from different inputs, or from other versions of their files, "
            "and without input.id a row is known by its file and number alone; run both with input.id, or over the "
            "same files"
        )
