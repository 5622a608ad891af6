"""Which rows of a table are kept: decided by DuckDB on disk, in `MEMORY` whatever the size of the table."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.common.columns import ERROR, PLACE, ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError, first_line
from pipeline.config.filter import KeepConfig
from pipeline.results.reader import SCORE_COLUMNS, Results
from pipeline.tables.schemas import require_column

MEMORY = "1GB"
NO_SCORE = "no score"
_OFF = (
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "enable_external_access",
    "enable_progress_bar",
    "python_enable_replacements",
)


class Cut:
    """A temporary database with the rows of a table and the verdict on each. A context manager.

    Use: `add_rows`, then `judge`, then read `verdicts`, of which the table `verdict` holds one a row:
    place, row_id int64; score; reason string, null where the row is kept.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vilt-filter-")
        self.database = open_database(f"{self._folder.name}/cut.duckdb", self._folder.name)

    def __enter__(self) -> Cut:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
        self._folder.cleanup()

    def add_rows(self, rows: Iterable[pa.Table]) -> None:
        """The rows of the table, with `__place` and `row_id`. Raises ConfigError where two have the same id."""
        schema = pa.schema([(PLACE, pa.int64()), (ROW_ID, pa.int64())])
        failed: list[Exception] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for table in rows:
                    yield from table.select(schema.names).cast(schema).to_batches()
            except Exception as error:  # DuckDB would make a text of it
                failed.append(error)

        self.database.register("given", pa.RecordBatchReader.from_batches(schema, batches()))
        self.database.execute(f"CREATE TABLE rows AS SELECT {PLACE} AS place, row_id FROM given")
        self.database.unregister("given")
        if failed:
            raise failed[0]
        self._none(
            "SELECT row_id FROM rows GROUP BY row_id HAVING count(*) > 1",
            "input.id: {} stand in several rows, "
            "whose results cannot be told apart; choose a column of distinct ids, or leave the key out",
        )

    def judge(self, keep: KeepConfig, results: Results) -> None:
        """Decide about every row. Raises ConfigError where a condition does not fit the results, or the results do not
        fit the table."""
        kind = check_keep(self.database, keep, results)
        self.database.register("results", results.dataset)
        try:
            self.database.execute(f"CREATE TABLE judged AS {_judged(keep, results, kind)}")
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            raise ConfigError(f"keep.where: {keep.where!r} fails on the results: {_fault(error)}") from None
        except duckdb.Error as error:  # what reading the files raises, in DuckDB's words
            raise OSError(f"{results.uri}: {first_line(error)}") from None
        self._none(
            "SELECT row_id FROM judged WHERE results > texts",
            f"scores: {results.uri!r} holds several results of {{}}: of two jobs?",
        )
        self.database.execute(
            "CREATE TABLE joined AS SELECT rows.place, row_id, judged.* EXCLUDE (row_id) "
            "FROM rows FULL JOIN judged USING (row_id)"
        )
        self._none(
            "SELECT row_id FROM joined WHERE place IS NULL",
            f"scores: {results.uri!r} is of another table: {{}} are not in the input",
        )
        self._none(
            "SELECT row_id FROM joined WHERE results IS NULL",
            f"scores: {results.uri!r} is of another table, or not whole: it has no result of {{}}",
        )
        self.database.execute(f"CREATE TABLE verdict AS {_verdict(keep, kind)} ORDER BY place")
        for table in ("rows", "judged", "joined"):
            self.database.execute(f"DROP TABLE {table}")
        self.database.unregister("results")

    def counts(self) -> dict[str, int]:
        """Reason -> rows that are dropped, the most frequent first."""
        query = "SELECT reason, count(*) AS n FROM verdict WHERE reason IS NOT NULL GROUP BY reason ORDER BY n DESC, 1"
        return dict(self.database.execute(query).fetchall())

    def lowest_kept(self) -> float | None:
        """The lowest score of a row that is kept; None where no kept row has one."""
        return self.database.execute("SELECT min(score) FROM verdict WHERE reason IS NULL").fetchall()[0][0]

    @cached_property
    def dropped_schema(self) -> pa.Schema:
        """Of the rows that are dropped."""
        return self.verdicts(0, 0)[1].schema

    def verdicts(self, begin: int, end: int) -> tuple[np.ndarray, pa.Table]:
        """Of the places from `begin` up to, not including, `end`, in order: those that are kept, int64 (n,), and the
        others as row_id, score, reason. May be called from several threads."""
        query = "SELECT place, row_id, score, reason FROM verdict WHERE place >= ? AND place < ? ORDER BY place"
        found = self.database.cursor().sql(query, params=[begin, end]).to_arrow_table()
        kept = found["reason"].is_null()
        return found["place"].filter(kept).to_numpy(), found.filter(found["reason"].is_valid()).drop_columns(["place"])

    def _none(self, query: str, message: str) -> None:
        """Raises ConfigError where there are such row ids; `message` has a place for their number and examples."""
        count = self.database.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
        if count:
            some = self.database.execute(f"{query} ORDER BY row_id LIMIT 3").fetchall()
            examples = ", ".join(str(row[0]) for row in some)
            raise ConfigError(message.format(f"{count:,} row id{'s' if count > 1 else ''} (as {examples})"))


def open_database(path: str, folder: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB that spills into `folder` and reaches no other file, no network and no extension."""
    database = duckdb.connect(
        path, config={"memory_limit": MEMORY, "temp_directory": folder, "threads": str(os.cpu_count() or 1)}
    )
    for name in _OFF:
        database.execute(f"SET {name} = false")
    database.execute("SET lock_configuration = true")
    return database


def check_keep(database: duckdb.DuckDBPyConnection, keep: KeepConfig, results: Results) -> str | None:
    """Check the conditions against the columns of the results; DuckDB's type of the score, None where there is none.

    Raises ConfigError.
    """
    schema = results.schema
    for name in (ROW_ID, ERROR):
        if name not in schema.names:
            raise ConfigError(f"scores: {results.uri!r} has no column {name!r}: these are not the results of a job")
    answer = None if keep.answer is None else "answer"
    for key, column in (("keep.by", keep.by), ("keep.score", keep.score), ("keep.answer", answer)):
        if column is not None:
            require_column(schema, key, column)
    if keep.where is not None:
        _check_where(database, keep.where, schema)
    column = keep.score or results.score_column
    if column is None:
        for key in ("min_score", "top"):
            if getattr(keep, key) is not None:
                raise ConfigError(
                    f"keep.{key}: the results have none of the columns {', '.join(SCORE_COLUMNS)}; "
                    f"name one in keep.score; there are {', '.join(schema.names)}"
                )
        return None
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(f"keep.score: column {column!r} is {kind}, not a number")
    return "FLOAT" if kind in (pa.float32(), pa.float16()) else "DOUBLE"


def _check_where(database: duckdb.DuckDBPyConnection, where: str, schema: pa.Schema) -> None:
    """Raises ConfigError for what is not one expression that is true or false for a row of `schema`."""
    database.register("empty", schema.empty_table())
    try:
        duckdb.SQLExpression(where)  # one expression and nothing else
        database.sql(f"SELECT 1 FROM empty WHERE ({where}\n)")  # of one row: no aggregates
        kind = database.sql(f"SELECT ({where}\n) FROM empty").types[0]
    except duckdb.Error as error:
        raise ConfigError(
            f"keep.where: {where!r} is no condition on the results: {_fault(error)}; "
            f"the columns are {', '.join(schema.names)}"
        ) from None
    finally:
        database.unregister("empty")
    if str(kind) != "BOOLEAN":
        raise ConfigError(f"keep.where: {where!r} is {kind}, not true or false")


def _judged(keep: KeepConfig, results: Results, kind: str | None) -> str:
    """SQL: of each row its score, whether it `passes` and `answers`, its group, its error, and how many results and
    texts it has."""
    column = keep.score or results.score_column
    score = (
        f"CASE WHEN isnan({_name(column)}::{kind}) THEN NULL ELSE {_name(column)}::{kind} END"
        if column
        else "NULL::FLOAT"
    )
    answers = "true" if keep.answer is None else f"answer IN ({', '.join(map(_literal, keep.answer))})"
    each = f"""
        SELECT row_id, error, {score} AS score,
               {f"coalesce({TEXT_INDEX}, 0)" if TEXT_INDEX in results.schema.names else "0"} AS text,
               coalesce(({keep.where or "true"}\n), false) AS passes, coalesce({answers}, false) AS answers,
               {_name(keep.by) if keep.by else "NULL"} AS part
        FROM results"""
    whole = "FILTER (WHERE error IS NULL)"
    # Structs compare by their first fields: the score, and of equal scores the first text.
    values = "'score': score, 'passes': passes, 'answers': answers, 'part': part"
    order = "'order': coalesce(score, '-infinity')"
    chosen = {
        "best": f"max({{{order}, 'text': -text, {values}}}) {whole}",
        "worst": f"min({{{order}, 'text': text, {values}}}) {whole}",
        "mean": f"""{{'score': list_avg(list(score ORDER BY score) {whole})::{kind or "DOUBLE"}, 'part': min(part),
                      'passes': bool_and(passes) {whole}, 'answers': bool_and(answers) {whole}}}""",
    }[keep.texts]
    return f"""
        SELECT row_id, count(*) AS results, max(text) + 1 AS texts, {chosen} AS chosen,
               count(*) {whole} = 0 AS failed, arg_min(error, text) AS error
        FROM ({each}) GROUP BY row_id"""


def _verdict(keep: KeepConfig, kind: str | None) -> str:
    """SQL: the score of each row, and the first reason to drop it."""
    reasons = ["WHEN failed THEN 'error: ' || error"]
    if kind is not None:  # before the conditions: for SQL not-a-number is the largest of all
        reasons.append(f"WHEN score IS NULL THEN '{NO_SCORE}'")
    if keep.answer is not None:
        reasons.append(f"WHEN NOT answers THEN {_literal('answer is not ' + ' or '.join(keep.answer))}")
    if keep.where is not None:
        reasons.append("WHEN NOT passes THEN 'where'")
    if keep.min_score is not None:
        reasons.append(f"WHEN score < {keep.min_score!r}::{kind} THEN 'score below {keep.min_score:g}'")
    if keep.top is not None:
        share = Fraction(repr(keep.top))
        most = f"(scored * {2 * share.numerator}::HUGEINT + {share.denominator}) // {2 * share.denominator}"
        of = f" of its {keep.by}" if keep.by else ""
        reasons.append(f"WHEN rank > {most} THEN {_literal(f'not in the top {100 * keep.top:g}%{of}')}")
    return f"""
        SELECT place, row_id, score, CASE {" ".join(reasons)} END AS reason
        FROM (SELECT place, row_id, failed, error, unnest(chosen),
                     row_number() OVER (PARTITION BY chosen.part ORDER BY chosen.score DESC NULLS LAST, row_id) AS rank,
                     count(chosen.score) OVER (PARTITION BY chosen.part) AS scored
              FROM joined)"""


def _fault(error: duckdb.Error) -> str:
    """DuckDB's first line, without the kind of the error in front."""
    return first_line(error).partition("Error: ")[2].rstrip(".!") or first_line(error)


def _name(column: str) -> str:
    """A column's name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"
