"""The scores of a finished job in a temporary database, for questions about all of them and about some rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipeline.common.columns import ERROR, ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.results.loading import Value, common_values, load_rows
from pipeline.results.reader import made_columns, read_summary, score_column
from pipeline.results.result_table import result_files
from pipeline.tables.database import temporary_database
from pipeline.tables.table import TableFiles


@dataclass(frozen=True)
class ScoredRows:
    """The rows of a job's output that have a score.

    Attributes:
        uri: The output folder.
        table: The results.
        made: The columns that the job made.
        database: Holds the rows as `scored`: row_key int64, the key of the row in `table`; row_id, a key of
            `pipeline.common.row_ids`; text_index int32, 0 if the table has one text a row; score double.
        rows: How many they are.
    """

    uri: str
    table: TableFiles
    made: list[str]
    database: duckdb.DuckDBPyConnection
    rows: int

    @property
    def several_texts(self) -> bool:
        """Return whether a row of the input may have several texts, and rows here."""
        return TEXT_INDEX in self.made

    @property
    def id_type(self) -> pa.DataType:
        """Return the type of the row ids."""
        return self.table.schema.field(ROW_ID).type


@contextmanager
def scored_rows(uri: str, storage: StorageConfig) -> Iterator[ScoredRows]:
    """Read the scores of an output into a database that is removed at the end.

    Args:
        uri: The output folder.
        storage: How to reach it.

    Raises:
        ConfigError: There is no such output, or it has no scores.
    """
    tasks = read_summary(uri, "OUT", storage)["tasks"]
    table = result_files(uri, storage)
    score = None if tasks in (["filter"], ["rank"]) else score_column(tasks, table.schema)
    if score is None:
        raise ConfigError(
            f"OUT: {uri!r} is of {', '.join(tasks)}, and has no score for each row; name the output folder of a "
            "job that scores or answers"
        )
    made = made_columns(tasks, table.schema)
    text_index = TEXT_INDEX if TEXT_INDEX in made else "0::INTEGER"
    known = [value for value in common_values(table.schema) if value.name in (ROW_ID, TEXT_INDEX, ERROR)]
    with temporary_database() as database:
        load_rows(database, "loaded", table, [*known, Value("score", score, pa.float64())])
        database.execute(
            f"CREATE VIEW scored AS SELECT row_key, row_id, {text_index} AS text_index, score FROM loaded "
            "WHERE error IS NULL AND isfinite(score)"
        )
        rows: int = database.execute("SELECT count(*) FROM scored").fetchall()[0][0]
        yield ScoredRows(uri, table, made, database, rows)
