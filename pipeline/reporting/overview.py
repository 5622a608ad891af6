"""A look at the output of a finished job: what was rejected and why, scores, answers, and rows that show it best."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, PLACE, ROW_ID
from pipeline.config.filter import DROPPED, KEPT
from pipeline.config.job import InputConfig, StorageConfig
from pipeline.filtering.database import open_database
from pipeline.results.distribution import Distribution, distribution, examples
from pipeline.results.reader import SCORE_COLUMNS, read_summary, result_files
from pipeline.tables.table import TableFiles, open_files, read_columns

WINDOW = 2**16  # rows, read at a time
MOST_ANSWERS = 20
EXAMPLES = 3  # of each reason


@dataclass
class Overview:
    """Of an output folder. table: its rows: the results, or what a filter kept; None where there are none.

    score: the column that `scores` tell of. threshold: the lowest score that a filter kept. answers: (answer, rows),
    the most frequent first; distinct_answers: of how many. rejected: reason -> rows; failures: reason -> some of them,
    as (row_id, detail). examples: kind -> rows by row_id and score; of results with `place`, their place in `table`, of
    a filter with `file` and `row` of its input.
    """

    uri: str
    summary: dict[str, Any]
    table: TableFiles | None = None
    score: str | None = None
    scores: Distribution | None = None
    threshold: float | None = None
    answers: list[tuple[str, int]] = field(default_factory=list)
    distinct_answers: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def is_filter(self) -> bool:
        """Whether the output is of `vilt filter`."""
        return self.summary["tasks"] == ["filter"]


def look_at(uri: str, storage: StorageConfig) -> Overview:
    """Read the output of a finished job once, in parts. Raises ConfigError where there is none."""
    summary = read_summary(uri, "OUT", storage)
    folder = uri.rstrip("/")
    view = Overview(uri, summary)
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
    view.table = table = result_files(folder, storage)
    view.score = next((name for name in SCORE_COLUMNS if name in table.schema.names), None)
    own = [ROW_ID, ERROR, DETAIL]
    own += [name for name in (view.score, "answer") if name is not None and name in table.schema.names]
    _load(database, table, own)
    counted = "SELECT error, count(*) AS n FROM loaded WHERE error IS NOT NULL GROUP BY error ORDER BY n DESC, error"
    view.rejected = dict(database.execute(counted).fetchall())
    view.summary.setdefault("scored", view.summary["pairs"] - sum(view.rejected.values()))
    view.failures = _failures(database, ERROR, DETAIL, view.rejected)
    if view.score:
        shown = ", ".join(["place", ROW_ID, *(["answer"] if "answer" in own else [])])
        good = f"(SELECT {shown}, {view.score} AS score, true AS kept FROM loaded WHERE error IS NULL)"
        view.scores = distribution(database, good)
        if view.scores:
            view.examples = examples(database, good, f"{shown}, score", view.scores.median)
    if "answer" in own:
        counted = "FROM loaded WHERE answer IS NOT NULL"
        query = f"SELECT answer, count(*) AS n {counted} GROUP BY answer ORDER BY n DESC, answer LIMIT {MOST_ANSWERS}"
        view.answers = [(answer, count) for answer, count in database.execute(query).fetchall()]
        view.distinct_answers = database.execute(f"SELECT count(DISTINCT answer) {counted}").fetchall()[0][0]


def _look_at_filter(view: Overview, folder: str, storage: StorageConfig, database: duckdb.DuckDBPyConnection) -> None:
    summary = view.summary
    view.score, view.threshold, view.examples = summary["score"], summary["lowest_kept"], summary["examples"]
    view.scores = Distribution(**summary["scores"]) if summary["scores"] else None
    view.rejected = summary["dropped"]
    view.table = open_files(InputConfig(path=f"{folder}/{KEPT}", format="parquet"), storage)
    dropped = open_files(InputConfig(path=f"{folder}/{DROPPED}", format="parquet"), storage)
    _load(database, dropped, [ROW_ID, "score", "reason"])
    view.failures = _failures(database, "reason", "'score ' || printf('%.4g', score::DOUBLE)", view.rejected)


def _load(database: duckdb.DuckDBPyConnection, table: TableFiles, columns: list[str]) -> None:
    """Some columns of all rows, with their places, into the table `loaded`."""
    schema = pa.schema([("place", pa.int64()), *(table.schema.field(name) for name in columns)])

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in read_columns(table, columns, WINDOW):
            yield from rows.select([PLACE, *columns]).rename_columns(schema.names).cast(schema).to_batches()

    database.register("given", pa.RecordBatchReader.from_batches(schema, batches()))
    database.execute("CREATE TABLE loaded AS SELECT * FROM given")
    database.unregister("given")


def _failures(
    database: duckdb.DuckDBPyConnection, column: str, detail: str, reasons: dict[str, int]
) -> dict[str, list[tuple[int, str]]]:
    """Of each reason some rows, each once, with the value of the SQL expression `detail`."""
    first = f"SELECT row_id, first(coalesce({detail}, '') ORDER BY place) FROM loaded WHERE {column} = ?"
    query = f"{first} GROUP BY row_id ORDER BY min(place) LIMIT {EXAMPLES}"
    return {reason: database.execute(query, [reason]).fetchall() for reason in reasons}


def lineage_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What made the results, as names and values."""
    names = {key.removeprefix("vilt."): value for key, value in summary["lineage"].items()}
    versions = json.loads(names.pop("versions", "{}"))
    return [*sorted(names.items()), ("versions", ", ".join(f"{name} {value}" for name, value in versions.items()))]
