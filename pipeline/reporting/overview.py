"""Read the output of a finished job for a first look: reasons, scores, answers, and rows that show them best."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, ROW_ID, ROW_KEY
from pipeline.common.row_ids import key_type, keys_of, shown_key
from pipeline.config.filter import DROPPED, KEPT
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.results.distribution import Distribution, distribution, examples
from pipeline.results.reader import made_columns, read_summary, result_files, score_column
from pipeline.tables.database import load, open_database
from pipeline.tables.table import TableFiles, open_files, read_columns
from vilt.common.json_text import read_json

WINDOW_ROWS = 2**16  # read at a time
MOST_ANSWERS = 20
EXAMPLES = 3  # of each reason
ANSWER = "answer"
RANKED_IMAGES = "images"  # folder of a rank job's output


@dataclass
class Overview:
    """What there is to see of an output folder.

    Attributes:
        uri: The folder.
        summary: The summary of the job.
        table: The results, or the rows that a filter kept; None if there are none.
        id_type: The type of the row ids.
        score: The column of `scores`.
        scores: How they are distributed; None if the job makes none.
        threshold: The lowest score that a filter kept.
        answers: (answer, rows), the most frequent first.
        distinct_answers: How many answers there are.
        rejected: Reason -> rows.
        failures: Reason -> some of its rows as (row_id, detail).
        examples: Kind -> rows by row_id and score; of results with `row_key`, their key in `table`; of a filter with
            `file` and `row` of its input.
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

    @property
    def is_filter(self) -> bool:
        """Return whether the output is of `vilt filter`."""
        return self.summary["tasks"] == ["filter"]


def look_at(uri: str, storage: StorageConfig) -> Overview:
    """Read the output of a finished job once, in parts.

    Of a rank job the images with their best texts are read.

    Raises:
        ConfigError: There is no such output.
    """
    summary, folder = read_summary(uri, "OUT", storage), uri.rstrip("/")
    if summary["tasks"] == ["rank"]:
        folder = f"{folder}/{RANKED_IMAGES}"
    view = Overview(folder, summary)
    with tempfile.TemporaryDirectory(prefix="vilt-view-") as temporary:
        database = open_database(f"{temporary}/view.duckdb", temporary)
        try:
            if view.is_filter:
                _look_at_filter(view, folder, storage, database)
            elif summary["files"]:
                _look_at_results(view, folder, storage, database)
        finally:
            database.close()
    return view


def _look_at_results(view: Overview, folder: str, storage: StorageConfig, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in an overview of results. The job's own columns count, not the user's of the same names."""
    view.table = table = result_files(folder, storage)
    tasks = view.summary["tasks"]
    view.score = score_column(tasks, table.schema)
    has_answers = ANSWER in made_columns(tasks, table.schema)
    columns = [ROW_ID, ERROR, DETAIL, *([view.score] if view.score else []), *([ANSWER] if has_answers else [])]
    _load(database, table, columns)
    view.id_type = table.schema.field(ROW_ID).type
    counted = "SELECT error, count(*) AS n FROM loaded WHERE error IS NOT NULL GROUP BY error ORDER BY n DESC, error"
    view.rejected = dict(database.execute(counted).fetchall())
    view.summary.setdefault("scored", view.summary["pairs"] - sum(view.rejected.values()))
    view.failures = _failures(database, ERROR, DETAIL, view)
    if view.score:
        _look_at_scores(view, database, ["row_key", ROW_ID, *([ANSWER] if has_answers else [])])
    if has_answers:
        _look_at_answers(view, database)


def _look_at_scores(view: Overview, database: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
    """Fill in how the scores are distributed, and examples with `columns`."""
    shown = ", ".join(columns)
    good = f"(SELECT {shown}, {view.score} AS score, true AS kept FROM loaded WHERE error IS NULL)"
    view.scores = distribution(database, good)
    if view.scores:
        view.examples = examples(database, good, f"{shown}, score", view.scores.median)
        for row in (row for rows in view.examples.values() for row in rows):
            row[ROW_ID] = _id(view, row[ROW_ID])


def _look_at_answers(view: Overview, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in how frequent the answers are."""
    given = f"FROM loaded WHERE {ANSWER} IS NOT NULL"
    query = f"SELECT {ANSWER}, count(*) AS n {given} GROUP BY {ANSWER} ORDER BY n DESC, {ANSWER} LIMIT {MOST_ANSWERS}"
    view.answers = database.execute(query).fetchall()
    view.distinct_answers = database.execute(f"SELECT count(DISTINCT {ANSWER}) {given}").fetchall()[0][0]


def _look_at_filter(view: Overview, folder: str, storage: StorageConfig, database: duckdb.DuckDBPyConnection) -> None:
    """Fill in an overview of what a filter kept and dropped."""
    summary = view.summary
    view.score, view.threshold, view.examples = summary["score"], summary["lowest_kept"], summary["examples"]
    view.scores = Distribution(**summary["scores"]) if summary["scores"] else None
    view.rejected = summary["dropped"]
    view.table = open_files(InputConfig(path=f"{folder}/{KEPT}", format="parquet"), storage)
    dropped = open_files(InputConfig(path=f"{folder}/{DROPPED}", format="parquet"), storage)
    _load(database, dropped, [ROW_ID, "score", "reason"])
    view.id_type = dropped.schema.field(ROW_ID).type
    view.failures = _failures(database, "reason", "'score ' || printf('%.4g', score::DOUBLE)", view)


def _load(database: duckdb.DuckDBPyConnection, table: TableFiles, columns: list[str]) -> None:
    """Load some columns of all rows, with their keys, into the table `loaded`."""
    schema = pa.schema([("row_key", pa.int64()), *(table.schema.field(name) for name in columns)])
    at = schema.get_field_index(ROW_ID)
    schema = schema.set(at, pa.field(ROW_ID, key_type(schema.field(at).type)))

    def with_keys() -> Iterator[pa.Table]:
        for rows in read_columns(table, columns, WINDOW_ROWS):
            rows = rows.select([ROW_KEY, *columns]).rename_columns(schema.names)
            yield rows.set_column(at, ROW_ID, keys_of(rows[ROW_ID]))

    load(database, "CREATE TABLE loaded AS SELECT * FROM given", schema, with_keys())


def _failures(
    database: duckdb.DuckDBPyConnection, column: str, detail: str, view: Overview
) -> dict[str, list[tuple[int | str | None, str]]]:
    """Return some rows of each reason to reject, each once, with the value of the SQL expression `detail`."""
    first = f"SELECT row_id, first(coalesce({detail}, '') ORDER BY row_key) FROM loaded WHERE {column} = ?"
    query = f"{first} GROUP BY row_id ORDER BY min(row_key) LIMIT {EXAMPLES}"
    found = {reason: database.execute(query, [reason]).fetchall() for reason in view.rejected}
    return {reason: [(_id(view, key), detail) for key, detail in rows] for reason, rows in found.items()}


def _id(view: Overview, key: Any) -> int | str | None:
    """Return the row id that has a key, for reports."""
    return shown_key(key, view.id_type)


def lineage_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what made the results, as names and values."""
    names = {key.removeprefix("vilt."): value for key, value in summary["lineage"].items()}
    text = names.pop("versions", "{}")
    try:
        shown = ", ".join(f"{name} {value}" for name, value in read_json(text).items())
    except (ValueError, AttributeError):  # another program's
        shown = text
    return [*sorted(names.items()), ("versions", shown)]
