"""Answers to the rows of a benchmark: made by a job, or read from Parquet files of any program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.common.tasks import Task
from pipeline.config.evaluate import EvaluateConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import check_once
from pipeline.evaluation.parquet_columns import read_columns
from pipeline.scoring.run import run_to_files


class Answers(NamedTuple):
    """The answers to the rows of a benchmark.

    Attributes:
        given: The key of a row -> its answer.
        rejected: Reason -> rows that have no answer for it.
        lineage: What made the answers, or where they were found.
    """

    given: Mapping[object, str]
    rejected: Mapping[str, int]
    lineage: Mapping[str, str]


class JobTable(NamedTuple):
    """A table that was written for a job.

    Attributes:
        task: What the job does.
        model: Its checkpoint.
        inputs: The keys of its section `input`.
        key: The column that tells the rows apart.
        answer: The column of the results that holds the answer.
    """

    task: Task
    model: str
    inputs: Mapping[str, object]
    key: str
    answer: str


def run_job(config: EvaluateConfig, table: JobTable, folder: str) -> Answers:
    """Run a job over a table into a folder, where it resumes if it was stopped; return its answers.

    Raises:
        ConfigError: And what else a job raises; see `pipeline.run`.
    """
    summary = run_to_files(config.job(table.task, table.model, folder, columns=[table.key], **table.inputs))
    found = read_answers(folder, "output.path", (table.key, table.answer), config.storage, None)
    return found._replace(lineage=summary.lineage)


def read_answers(
    path: str, key: str, columns: tuple[str, str], storage: StorageConfig, known: Set[object] | None
) -> Answers:
    """Read answers from Parquet files.

    Args:
        path: A file or folder.
        key: The config key that names it.
        columns: The column of the key of a row, and the column of its answer, null if it was rejected.
        storage: How to reach s3://.
        known: The keys of all rows of the benchmark; None: not to be checked.

    Raises:
        ConfigError: The files cannot be read, or their answers are not those of the benchmark.
    """
    pairs: list[tuple[object, str | None]] = []
    rejected: Counter[str] = Counter()
    for table in read_columns(path, key, columns, storage, ["error"]):
        for row, answer, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
            pairs.append((row, answer))
            if answer is None:
                rejected[error or "no answer"] += 1
    return checked(pairs, path, key, columns[0], known)._replace(rejected=dict(rejected.most_common()))


def checked(
    pairs: Iterable[tuple[object, str | None]], path: str, key: str, name: str, known: Set[object] | None
) -> Answers:
    """Return answers whose rows are of the benchmark, each once.

    Args:
        pairs: The key of a row, and its answer; None if it was rejected.
        path: Where they were found.
        key: The config key that names it.
        name: What the file calls the key of a row.
        known: The keys of all rows of the benchmark; None: not to be checked.

    Raises:
        ConfigError: Not so.
    """
    pairs = list(pairs)
    check_once((row for row, _ in pairs), name, key, path)
    unknown = next((row for row, _ in pairs if known is not None and row not in known), None)
    if unknown is not None:
        raise ConfigError(f"{key}: {path!r} has an answer to {name} {unknown!r}, which the benchmark does not have")
    return Answers({row: answer for row, answer in pairs if answer is not None}, {}, {"results": path})
