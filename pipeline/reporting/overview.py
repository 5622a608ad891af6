"""Read the output of a finished job for a first look: reasons, scores, answers, and rows that show them best."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, ROW_ID, ROW_SOURCE, TEXT_TRUNCATED
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import key_type, keys_of, shown_key
from pipeline.config.filter import DROPPED, KEPT, NEGATIVE_SCORE
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.reporting.groups import Groups, groups_of
from pipeline.results.distribution import Distribution, distribution, examples
from pipeline.results.loading import Value, common_values, is_plain, load_rows, outcomes_of, text_value
from pipeline.results.reader import made_columns, read_summary
from pipeline.results.result_table import result_files
from pipeline.tables.database import temporary_database
from pipeline.tables.table import TableFiles, open_files
from vilt.common.json_text import read_json

MOST_ANSWERS = 20
EXAMPLES = 3  # of each reason
TRUNCATED = 8  # texts that are shown of those that lost their end
ANSWER = "answer"
RANKED_IMAGES = "images"  # folder of a rank job's output


@dataclass
class Overview:
    """A first look at an output folder.

    Attributes:
        uri: The folder.
        summary: The summary of the job.
        table: The results, or the rows that a filter kept; None if there are none.
        id_type: The type of the row ids.
        score: The name of `scores`: a column, or what a rank job makes of its results.
        scores: How they are distributed; None if the job makes none.
        threshold: The lowest score that a filter kept.
        answers: (answer, rows), the most frequent first.
        distinct_answers: How many answers there are.
        rejected: Reason -> rows.
        failures: Reason -> some of its rows as (row_id, detail).
        examples: Kind -> rows by row_id and score; of results with `row_key`, their key in `table`; of a filter with
            `file` and `row` of its input.
        truncated: Some rows by row_id and row_key of whose text the model read the beginning alone.
        groups: The scores of groups of rows, if they were asked for.
        left_out: Why a report has no pictures; "" if it has them, or if there are none.
    """

    uri: str
    summary: dict[str, Any]
    table: TableFiles | None = None
    id_type: pa.DataType = field(default_factory=pa.int64)
    score: str | None = None
    scores: Distribution | None = None
    threshold: float | None = None
    answers: list[tuple[str, int]] = field(default_factory=list)
    distinct_answers: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[tuple[int | str | None, str]]] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    truncated: list[dict[str, Any]] = field(default_factory=list)
    groups: Groups | None = None
    left_out: str = ""

    @property
    def is_filter(self) -> bool:
        """Return whether the output is of `vilt filter`."""
        return self.summary["tasks"] == ["filter"]

    @property
    def is_rank(self) -> bool:
        """Return whether the output is of `vilt rank`."""
        return self.summary["tasks"] == ["rank"]


def look_at(uri: str, storage: StorageConfig, by: str | None = None) -> Overview:
    """Read the output of a finished job once, in parts.

    Of a rank job the images with their best texts are read.

    Args:
        uri: The output folder.
        storage: How to reach it.
        by: A column of the results, to look at the scores of each of its values.

    Raises:
        ConfigError: There is no such output, or no such column.
    """
    summary, folder = read_summary(uri, "OUT", storage), uri.rstrip("/")
    if summary["tasks"] == ["rank"]:
        folder = f"{folder}/{RANKED_IMAGES}"
    view = Overview(folder, summary)
    with temporary_database() as database:
        if view.is_filter:
            if by is not None:
                scores = shlex.quote(str(summary.get("scores_from", "SCORES")))
                raise ConfigError(
                    "--by: a filter's output does not hold the scores of all rows; look at the scores that it "
                    f"compared: vilt report {scores} --by {shlex.quote(by)}"
                )
            _look_at_filter(view, folder, storage, database)
        elif summary["files"]:
            _look_at_results(view, folder, storage, database, by)
    return view


def _look_at_results(
    view: Overview, folder: str, storage: StorageConfig, database: duckdb.DuckDBPyConnection, by: str | None
) -> None:
    """Fill in an overview of results. The job's own columns count, not the user's of the same names."""
    view.table = table = result_files(folder, storage)
    tasks = view.summary["tasks"]
    outcomes = outcomes_of(tasks, table.schema)
    has_answers = ANSWER in made_columns(tasks, table.schema)
    view.score = outcomes.score
    group = [] if by is None else [_group_value(by, table.schema)]
    load_rows(database, "loaded", table, [*common_values(table.schema), *outcomes.values, *group])
    view.id_type = table.schema.field(ROW_ID).type
    counted = "SELECT error, count(*) AS n FROM loaded WHERE error IS NOT NULL GROUP BY error ORDER BY n DESC, error"
    view.rejected = dict(database.execute(counted).fetchall())
    view.summary.setdefault("scored", view.summary["pairs"] - sum(view.rejected.values()))
    view.failures = _failures(database, ERROR, DETAIL, view)
    if view.score:
        _look_at_scores(view, database, ["row_key", ROW_ID, *([ANSWER] if has_answers else [])])
    if has_answers:
        _look_at_answers(view, database)
    if TEXT_TRUNCATED in table.schema.names:
        _look_at_truncated(view, database)
    if by is not None:
        scored = "loaded" if view.score else "(SELECT *, NULL::DOUBLE AS score FROM loaded)"
        view.groups = groups_of(database, scored, by)


def _group_value(by: str, schema: pa.Schema) -> Value:
    """Return the column of results that rows are grouped by.

    Raises:
        ConfigError: There is none, or its values are no groups.
    """
    names = [name for name in schema.names if name not in (ROW_SOURCE, DETAIL)]
    if by not in schema.names:
        raise ConfigError(
            f"--by: the results have no column {by!r}; they have {', '.join(names[:30])}; a job carries the columns of "
            "its table that input.columns names, or all"
        )
    kind = schema.field(by).type
    if not is_plain(kind):
        raise ConfigError(f"--by: column {by!r} is {kind}; name one of texts, numbers, dates or booleans")
    return text_value("group_value", by)


def _look_at_scores(view: Overview, database: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
    """Fill in how the scores are distributed, and examples with `columns`."""
    shown = ", ".join(columns)
    good = f"(SELECT {shown}, score, true AS kept FROM loaded WHERE error IS NULL)"
    view.scores = distribution(database, good)
    if view.scores:
        view.examples = examples(database, good, f"{shown}, score", view.scores.median)
        for row in (row for rows in view.examples.values() for row in rows):
            row[ROW_ID] = shown_key(row[ROW_ID], view.id_type)


def _look_at_answers(view: Overview, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in how frequent the answers are."""
    given = f"FROM loaded WHERE {ANSWER} IS NOT NULL"
    query = f"SELECT {ANSWER}, count(*) AS n {given} GROUP BY {ANSWER} ORDER BY n DESC, {ANSWER} LIMIT {MOST_ANSWERS}"
    view.answers = database.execute(query).fetchall()
    view.distinct_answers = database.execute(f"SELECT count(DISTINCT {ANSWER}) {given}").fetchall()[0][0]


def _look_at_truncated(view: Overview, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in some rows whose texts were truncated, the same in every run."""
    chosen = (
        f"SELECT row_id, row_key FROM loaded WHERE {TEXT_TRUNCATED} ORDER BY hash(row_id), row_key LIMIT {TRUNCATED}"
    )
    rows = database.execute(chosen).fetchall()
    view.truncated = [{ROW_ID: shown_key(key, view.id_type), "row_key": row_key} for key, row_key in rows]


def _look_at_filter(view: Overview, folder: str, storage: StorageConfig, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in an overview of what a filter kept and dropped."""
    summary = view.summary
    view.score, view.threshold, view.examples = summary["score"], summary["lowest_kept"], summary["examples"]
    view.scores = Distribution(**summary["scores"]) if summary["scores"] else None
    view.rejected = summary["dropped"]
    view.table = open_files(InputConfig(path=f"{folder}/{KEPT}", format="parquet"), storage)
    dropped = open_files(InputConfig(path=f"{folder}/{DROPPED}", format="parquet"), storage)
    view.id_type = dropped.schema.field(ROW_ID).type
    values = [Value(ROW_ID, ROW_ID, key_type(view.id_type), keys_of), Value("score", "score", pa.float64())]
    detail = "'score ' || printf('%.4g', score)"
    if NEGATIVE_SCORE in dropped.schema.names:
        values.append(Value(NEGATIVE_SCORE, NEGATIVE_SCORE, pa.float64()))
        detail += f" || coalesce(printf(', best of the texts to beat %.4g', {NEGATIVE_SCORE}), '')"
    load_rows(database, "loaded", dropped, [*values, text_value("reason", "reason")])
    view.failures = _failures(database, "reason", detail, view)


def _failures(
    database: duckdb.DuckDBPyConnection, column: str, detail: str, view: Overview
) -> dict[str, list[tuple[int | str | None, str]]]:
    """Return some rows of each reason to reject, each once, with the value of the SQL expression `detail`."""
    first = f"SELECT row_id, first(coalesce({detail}, '') ORDER BY row_key) FROM loaded WHERE {column} = ?"
    query = f"{first} GROUP BY row_id ORDER BY min(row_key) LIMIT {EXAMPLES}"
    found = {reason: database.execute(query, [reason]).fetchall() for reason in view.rejected}
    return {reason: [(shown_key(key, view.id_type), detail) for key, detail in rows] for reason, rows in found.items()}


def lineage_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what made the results, as names and values."""
    names = {key.removeprefix("vilt."): value for key, value in summary["lineage"].items()}
    text = names.pop("versions", "{}")
    try:
        shown = ", ".join(f"{name} {value}" for name, value in read_json(text).items())
    except (ValueError, AttributeError):  # another program's
        shown = text
    return [*sorted(names.items()), ("versions", shown)]
