"""Answers to the rows of a benchmark: from a job over a table, or from Parquet files that are there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from pipeline.common.errors import ConfigError
from pipeline.common.tasks import Task
from pipeline.config.evaluate import EvaluateConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.files import read_columns
from pipeline.evaluation.layouts import check_once
from pipeline.scoring.run import run


class Answers(NamedTuple):
    """given: key of a row -> its answer. rejected: reason -> rows that have none for it."""

    given: Mapping[object, str]
    rejected: Mapping[str, int]
    lineage: Mapping[str, str]


def run_job(
    config: EvaluateConfig,
    folder: str,
    task: Task,
    model: str,
    inputs: Mapping[str, object],
    columns: tuple[str, str],
) -> Answers:
    """Run a job over a table that was written for it, into a folder; it goes on where it was stopped.

    columns: the key of a row, and its answer.
    """
    summary = run(config.job(task, model, folder, columns=[columns[0]], **inputs))
    found = read_answers(folder, "output.path", columns, config.storage, None)
    return found._replace(lineage=summary.lineage)


def read_answers(
    path: str, key: str, columns: tuple[str, str], storage: StorageConfig, known: Set[object] | None
) -> Answers:
    """Two columns of Parquet files: the key of a row, and its answer, null where it was rejected."""
    pairs: list[tuple[object, str]] = []
    rejected: Counter[str] = Counter()
    for table in read_columns(path, key, columns, storage, ["error"]):
        for row, answer, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if answer is None:
                rejected[error or "no answer"] += 1
            else:
                pairs.append((row, answer))
    return checked(pairs, path, key, columns[0], known)._replace(rejected=dict(rejected.most_common()))


def checked(pairs: Iterable[tuple[object, str]], path: str, key: str, name: str, known: Set[object] | None) -> Answers:
    """Answers to rows of the benchmark, each once. known: the rows that it has. Raises ConfigError."""
    pairs = list(pairs)
    check_once((row for row, _ in pairs), name, key, path)
    strange = next((row for row, _ in pairs if known is not None and row not in known), None)
    if strange is not None:
        raise ConfigError(f"{key}: {path!r} has an answer to {name} {strange!r}, which the benchmark does not have")
    return Answers(dict(pairs), {}, {"results": path})
