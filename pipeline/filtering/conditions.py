"""The conditions of the section `keep`: checked against the results, and as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import duckdb
import pyarrow as pa

from pipeline.common.columns import ERROR, ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.common.tasks import SCORE_COLUMNS
from pipeline.config.filter import NEGATIVE_SCORE, KeepConfig
from pipeline.filtering.beats import NegativeScores, find_negatives
from pipeline.filtering.sql import SqlNames, literal, without_kind
from pipeline.results.reader import Results
from pipeline.tables.schemas import require_column

NO_SCORE = "no score"
ANSWER = "answer"


@dataclass(frozen=True)
class Conditions:
    """The conditions, which fit the results.

    Attributes:
        keep: The section of the config.
        names: The columns of the results, as SQL names them.
        score: The column that is compared; None if there is none.
        score_type: DuckDB's type of the score.
        negatives: The scores of the texts of keep.beats.
    """

    keep: KeepConfig
    names: SqlNames
    score: str | None
    score_type: str
    negatives: NegativeScores | None = None

    def rows_sql(self, results: str) -> str:
        """Return SQL that makes one row of all results of a row of the table.

        Its columns: row_id; results and texts, how many the row has; chosen, a struct of the score, whether the row
        `passes` keep.where and `answers` keep.answer, and its part of keep.by; failed, if no text has a result; error.

        Args:
            results: The name of the table of results, registered with the schema of `names`.
        """
        whole = "FILTER (WHERE error IS NULL)"
        # Structs compare by their first fields: the score, and of equal scores the first text.
        negative = "'negative': negative, 'strongest': strongest"
        values = f"'score': score, 'passes': passes, 'answers': answers, 'part': part, 'lead': lead, {negative}"
        order = "'order': coalesce(score, '-infinity')"
        chosen = {
            "best": f"max({{{order}, 'text': -text, {values}}}) {whole}",
            "worst": f"min({{{order}, 'text': text, {values}}}) {whole}",
            "mean": f"""{{'score': list_avg(list(score ORDER BY score) {whole})::{self.score_type}, 'part': min(part),
                          'passes': bool_and(passes) {whole}, 'answers': bool_and(answers) {whole},
                          'lead': list_avg(list(lead ORDER BY lead) {whole}),
                          'negative': max(negative) {whole}, 'strongest': min(strongest) {whole}}}""",
        }[self.keep.texts]
        return f"""
            SELECT row_id, count(*) AS results, max(text) + 1 AS texts, {chosen} AS chosen,
                   count(*) {whole} = 0 AS failed, arg_min(error, text) AS error
            FROM ({self._texts_sql(results)}) GROUP BY row_id"""

    def _texts_sql(self, results: str) -> str:
        """Return SQL that makes one row of each result, which is of one text."""
        column, kind = self.names.column, self.score_type
        score = f"NULL::{kind}"
        if self.score is not None:
            score = f"CASE WHEN isnan({column(self.score)}::{kind}) THEN NULL ELSE {column(self.score)}::{kind} END"
        answers = "true"
        if self.keep.answer is not None:
            answers = f"{column(ANSWER)}::VARCHAR IN ({', '.join(map(literal, self.keep.answer))})"
        lead, negative, strongest = self.negatives.sql(self.names) if self.negatives else ("NULL::DOUBLE",) * 3
        row_id = _key_sql(column(ROW_ID), self.names.schema.field(ROW_ID).type)
        text = f"coalesce({column(TEXT_INDEX)}, 0)" if TEXT_INDEX in self.names.schema.names else "0"
        return f"""
            SELECT {row_id} AS row_id, {column(ERROR)} AS error, {score} AS score, {text} AS text,
                   coalesce(({self.keep.where or "true"}\n), false) AS passes, coalesce({answers}, false) AS answers,
                   {column(self.keep.by) if self.keep.by else "NULL"} AS part,
                   {lead} AS lead, {negative} AS negative, {strongest} AS strongest
            FROM {self.names.relation(results)}"""

    def verdicts_sql(self, rows: str) -> str:
        """Return SQL that gives each row of the table its key, row_id, score, and the first reason to drop it.

        With keep.beats it gives the highest score of the texts to beat, too.

        Args:
            rows: The name of the table that `rows_sql` makes, joined with the keys.
        """
        negative = f"negative AS {NEGATIVE_SCORE}," if self.negatives else ""
        return f"""
            SELECT row_key, row_id, score, {negative} CASE {" ".join(self._reasons())} END AS reason
            FROM (SELECT row_key, row_id, failed, error, unnest(chosen),
                         row_number() OVER (
                             PARTITION BY chosen.part ORDER BY chosen.score DESC NULLS LAST, row_id) AS rank,
                         count(chosen.score) OVER (PARTITION BY chosen.part) AS scored
                  FROM {rows})"""

    def _reasons(self) -> list[str]:
        """Return the branches of CASE, in the order in which they are tried."""
        keep = self.keep
        reasons = ["WHEN failed THEN 'error: ' || error"]
        if self.score is not None:  # before the conditions: for SQL not-a-number is the largest of all
            reasons.append(f"WHEN score IS NULL THEN '{NO_SCORE}'")
        if keep.answer is not None:
            reasons.append(f"WHEN NOT answers THEN {literal('answer is not ' + ' or '.join(keep.answer))}")
        if keep.where is not None:
            reasons.append("WHEN NOT passes THEN 'where'")
        if keep.min_score is not None:
            lowest = f"{keep.min_score!r}::{self.score_type}"
            reasons.append(f"WHEN score < {lowest} THEN 'score below {keep.min_score:g}'")
        if self.negatives is not None:
            reasons += self.negatives.reasons()
        if keep.top is not None:
            share = Fraction(repr(keep.top))
            most = f"(scored * {2 * share.numerator}::HUGEINT + {share.denominator}) // {2 * share.denominator}"
            group = f" of its {keep.by}" if keep.by else ""
            reasons.append(f"WHEN rank > {most} THEN {literal(f'not in the top {100 * keep.top:g}%{group}')}")
        return reasons


def _key_sql(column: str, kind: pa.DataType) -> str:
    """Return SQL for the keys of a column of ids; see `pipeline.common.row_ids`."""
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid":
        return f"unhex(replace({column}::VARCHAR, '-', ''))"
    return f"epoch_us({column})" if pa.types.is_timestamp(kind) and kind.tz is not None else column


def check_conditions(database: duckdb.DuckDBPyConnection, keep: KeepConfig, results: Results) -> Conditions:
    """Check the conditions against the columns of the results.

    Raises:
        ConfigError: A condition names a column that is not there, or that is not what it needs.
    """
    schema = results.schema
    for name in (ROW_ID, ERROR):
        if name not in schema.names:
            raise ConfigError(f"scores: {results.uri!r} has no column {name!r}: these are not the results of a job")
    for key, column in (("keep.by", keep.by), ("keep.score", keep.score)):
        if column is not None:
            require_column(schema, key, column)
    if keep.answer is not None:
        _check_answer(results)
    names = SqlNames(schema, results.made_columns)
    if keep.where is not None:
        _check_where(database, keep.where, names)
    score = keep.score or results.score_column
    negatives = None if keep.beats is None else find_negatives(keep.beats, results)
    return Conditions(keep, names, score, _score_type(keep, results, score), negatives)


def _check_answer(results: Results) -> None:
    if results.tasks is None:
        require_column(results.schema, "keep.answer", ANSWER)
    elif ANSWER not in results.made_columns:
        found = f"keep.answer: {results.uri!r} holds results of {', '.join(results.tasks)}, which have no answers"
        if ANSWER in results.schema.names:
            found += f"; the column {ANSWER!r} is the table's own: compare it in keep.where"
        raise ConfigError(found)


def _score_type(keep: KeepConfig, results: Results, score: str | None) -> str:
    if score is None:
        for key in ("min_score", "top"):
            if getattr(keep, key) is not None:
                raise ConfigError(
                    f"keep.{key}: the results have none of the columns {', '.join(SCORE_COLUMNS)}; "
                    f"name one in keep.score; there are {', '.join(results.schema.names)}"
                )
        return "DOUBLE" if keep.texts == "mean" else "FLOAT"
    kind = results.schema.field(score).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(f"keep.score: column {score!r} is {kind}, not a number")
    return "FLOAT" if kind in (pa.float32(), pa.float16()) else "DOUBLE"


def _check_where(database: duckdb.DuckDBPyConnection, where: str, names: SqlNames) -> None:
    """Raise ConfigError if `where` is not one expression that is true or false for a row of the results."""
    if same := names.not_told_apart(where):
        raise ConfigError(
            f"keep.where: {where!r} names one of {', '.join(same)}, whose names SQL cannot tell apart; "
            f"the columns are {', '.join(names.written)}"
        )
    database.register("empty", names.schema.empty_table())
    relation = names.relation("empty")
    try:
        duckdb.SQLExpression(where)  # one expression and nothing else
        database.sql(f"SELECT 1 FROM {relation} WHERE ({where}\n)")  # of one row: no aggregates
        kind = database.sql(f"SELECT ({where}\n) FROM {relation}").types[0]
    except duckdb.Error as error:
        raise ConfigError(
            f"keep.where: {where!r} is no condition on the results: {without_kind(error)}; "
            f"the columns are {', '.join(names.written)}"
        ) from None
    finally:
        database.unregister("empty")
    if str(kind) != "BOOLEAN":
        raise ConfigError(f"keep.where: {where!r} is {kind}, not true or false")
