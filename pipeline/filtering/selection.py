"""Which rows of a table are kept: decided by DuckDB on disk, within a fixed memory whatever the size of the table."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.common.columns import ROW_ID, ROW_KEY
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ids import from_keys, key_type, shown_key
from pipeline.config.filter import KeepConfig
from pipeline.filtering.conditions import Conditions, check_conditions
from pipeline.filtering.sql import columns_read, without_kind
from pipeline.results.reader import Results
from pipeline.tables.database import load, temporary_database
from vilt.common.counts import counted

READ_ROWS = 2**16  # of results, at a time


class Verdicts(NamedTuple):
    """The decision on some rows.

    Attributes:
        keys: The keys of the rows that are kept, int64 (n,).
        kept: The same rows as row_id, score (double), and, with keep.beats, negative_score (double).
        dropped: The other rows as row_id, score, negative_score with keep.beats, reason.
    """

    keys: npt.NDArray[np.int64]
    kept: pa.Table
    dropped: pa.Table


class Selection:
    """A temporary database with the rows of a table and the decision on each. A context manager.

    Call `add_rows`, then `decide`; then read what was decided, which lies in the table `verdict`, a row each:
    row_key int64; row_id, a key of `pipeline.common.row_ids`; score; with keep.beats negative_score, the highest score
    of the texts to beat; reason string, null if the row is kept.

    Attributes:
        id_type: The type of the table's row ids.
    """

    def __init__(self, id_type: pa.DataType | None = None) -> None:
        self.id_type = pa.int64() if id_type is None else id_type
        self._open = ExitStack()
        self.database = self._open.enter_context(temporary_database())

    def __enter__(self) -> Selection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add_rows(self, rows: Iterable[pa.Table], id_column: str | None = None, keys: pa.DataType | None = None) -> None:
        """Add the rows of the table, with their columns `__row_key` and `row_id`.

        Args:
            rows: The rows; `row_id` holds keys of `pipeline.common.row_ids`.
            id_column: The column of ids; None if they are hashes.
            keys: The type of the keys; default: that of the table's row ids.

        Raises:
            ConfigError: Rows have no id, or several have the same.
        """
        schema = pa.schema([(ROW_KEY, pa.int64()), (ROW_ID, keys or key_type(self.id_type))])
        statement = f"CREATE TABLE rows AS SELECT {ROW_KEY} AS row_key, row_id FROM given"
        load(self.database, statement, schema, rows)
        self._check_ids(id_column)

    def decide(self, keep: KeepConfig, results: Results) -> None:
        """Decide about every row.

        Raises:
            ConfigError: A condition does not fit the results, or the results do not fit the table.
        """
        conditions = check_conditions(self.database, keep, results)
        self._read_results(conditions, results)
        self._check_join(results)
        self.database.execute(f"CREATE TABLE verdict AS {conditions.verdicts_sql('joined')} ORDER BY row_key")
        for table in ("rows", "judged", "joined"):
            self.database.execute(f"DROP TABLE {table}")

    def counts(self) -> dict[str, int]:
        """Return reason -> rows that are dropped, the most frequent first."""
        query = "SELECT reason, count(*) AS n FROM verdict WHERE reason IS NOT NULL GROUP BY reason ORDER BY n DESC, 1"
        return dict(self.database.execute(query).fetchall())

    def lowest_kept(self) -> float | None:
        """Return the lowest score of a row that is kept; None if no kept row has one."""
        lowest: float | None = self.database.execute("SELECT min(score) FROM verdict WHERE reason IS NULL").fetchall()[
            0
        ][0]
        return lowest

    @cached_property
    def score_schema(self) -> pa.Schema:
        """Return the columns of `Verdicts.kept`."""
        return self.verdicts(0, 0).kept.schema

    @cached_property
    def dropped_schema(self) -> pa.Schema:
        """Return the columns of `Verdicts.dropped`."""
        return self.verdicts(0, 0).dropped.schema

    def verdicts(self, begin: int, end: int) -> Verdicts:
        """Return what was decided on the rows from key `begin` up to, not including, `end`, in their order.

        May be called from several threads.
        """
        query = "FROM verdict WHERE row_key >= ? AND row_key < ? ORDER BY row_key"
        with self.database.cursor() as cursor:
            found = cursor.sql(query, params=[begin, end]).to_arrow_table()
        found = found.set_column(1, ROW_ID, from_keys(found[ROW_ID], self.id_type))
        kept, dropped = found.filter(found["reason"].is_null()), found.filter(found["reason"].is_valid())
        scores = kept.drop(["row_key", "reason"])
        for name in scores.column_names[1:]:
            score = scores[name].cast(pa.float64(), safe=False)
            scores = scores.set_column(scores.column_names.index(name), name, score)
        return Verdicts(kept["row_key"].to_numpy(), scores, dropped.drop(["row_key"]))

    def order_kept(self, order: str) -> None:
        """Make the table `ordered`: the row_key of each kept row, and its position, from 0.

        Args:
            order: Columns of `verdict`, as ORDER BY has them.
        """
        self.database.execute(
            f"CREATE OR REPLACE TABLE ordered AS SELECT row_key, row_number() OVER (ORDER BY {order}) - 1 AS position "
            "FROM verdict WHERE reason IS NULL ORDER BY row_key"
        )

    def positions(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """Return the numbers, int64 (n,), of the kept rows from key `begin` up to, not including, `end`."""
        query = "SELECT position FROM ordered WHERE row_key >= ? AND row_key < ? ORDER BY row_key"
        found: npt.NDArray[np.int64] = self.database.sql(query, params=[begin, end]).to_arrow_table()[0].to_numpy()
        return found

    def kept(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return bool (n,): which of these keys of rows, int64 (n,), in ascending order, are kept."""
        if not len(keys):
            return np.zeros(0, bool)
        query = "SELECT row_key FROM verdict WHERE row_key BETWEEN ? AND ? AND reason IS NULL"
        with self.database.cursor() as cursor:  # the database may be at work on what these rows are read for
            found = cursor.sql(query, params=[int(keys[0]), int(keys[-1])]).to_arrow_table()
        return np.isin(keys, found["row_key"].to_numpy())

    def _check_ids(self, id_column: str | None) -> None:
        missing = self._count("SELECT row_key FROM rows WHERE row_id IS NULL")
        if missing:
            raise ConfigError(
                f"input.id: column {id_column!r} is null in {counted(missing, 'row')}, whose results cannot be "
                f"found; choose a "
                "column of ids, or leave the key out"
            )
        self._check_none(
            "SELECT row_id FROM rows GROUP BY row_id HAVING count(*) > 1",
            "input.id: {} stand in several rows, "
            "whose results cannot be told apart; choose a column of distinct ids, or leave the key out",
        )

    def _read_results(self, conditions: Conditions, results: Results) -> None:
        """Make the table `judged`: a row for each row_id of the results."""
        names = columns_read(self.database, conditions.rows_sql, results.schema)
        columns = pa.schema([results.schema.field(name) for name in names])
        sql = replace(conditions, names=conditions.names.only(names)).rows_sql("given")
        try:
            load(self.database, f"CREATE TABLE judged AS {sql}", columns, results.read(names, READ_ROWS))
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            where = conditions.keep.where
            raise ConfigError(f"keep.where: {where!r} fails on the results: {without_kind(error)}") from None
        except duckdb.Error as error:  # what reading the files raises, in DuckDB's words
            raise OSError(f"{results.uri}: {first_line(error)}") from None

    def _check_join(self, results: Results) -> None:
        """Make the table `joined`, and check that each row of the table has its results, and each result its row."""
        self._check_none(
            "SELECT row_id FROM judged WHERE results > texts",
            f"scores: {results.uri!r} holds several results of {{}}: of two jobs?",
        )
        self.database.execute(
            "CREATE TABLE joined AS SELECT rows.row_key, row_id, judged.* EXCLUDE (row_id) "
            "FROM rows FULL JOIN judged USING (row_id)"
        )
        self._check_none(
            "SELECT row_id FROM joined WHERE row_key IS NULL",
            f"scores: {results.uri!r} is of another table: {{}} are not in the input",
        )
        self._check_none(
            "SELECT row_id FROM joined WHERE results IS NULL",
            f"scores: {results.uri!r} is of another table, or not whole: it has no result of {{}}",
        )

    def _check_none(self, query: str, message: str) -> None:
        """Raise ConfigError if there are such row ids; `message` has a field for their number and examples."""
        count = self._count(query)
        if count:
            some = self.database.execute(f"{query} ORDER BY row_id LIMIT 3").fetchall()
            examples = ", ".join(str(shown_key(row[0], self.id_type)) for row in some)
            raise ConfigError(message.format(f"{count:,} row id{'s' if count > 1 else ''} (as {examples})"))

    def _count(self, query: str) -> int:
        count: int = self.database.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
        return count
