"""The scores of a finished job in a temporary database, for questions about all of them and about some rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType

import pyarrow as pa

from pipeline.common.columns import ERROR, ROW_ID, ROW_KEY, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import key_type, keys_of
from pipeline.config.storage import StorageConfig
from pipeline.results.reader import made_columns, read_summary, result_files, score_column
from pipeline.tables.database import load, open_database
from pipeline.tables.table import read_columns

WINDOW_ROWS = 2**16  # read at a time


class ScoredRows:
    """The rows of a job's output that have a score. A context manager.

    They lie in the table `scored` of `database`: row_key int64, the key of the row in `table`; row_id, a key of
    `pipeline.common.row_ids`; text_index int32, 0 if the table has one text a row; score double.

    Attributes:
        uri: The output folder.
        table: The results.
        score: The column of scores.
        made: The columns that the job made.
        several_texts: Whether a row of the input may have several texts, and rows here.
        id_type: The type of the row ids.
    """

    def __init__(self, uri: str, storage: StorageConfig) -> None:
        """Read the scores of an output.

        Raises:
            ConfigError: There is no such output, or it has no scores.
        """
        tasks = read_summary(uri, "OUT", storage)["tasks"]
        self.uri = uri
        self.table = result_files(uri, storage)
        score = None if tasks in (["filter"], ["rank"]) else score_column(tasks, self.table.schema)
        if score is None:
            raise ConfigError(
                f"OUT: {uri!r} is of {', '.join(tasks)}, and has no score for each row; name the output folder of a "
                "job that scores or answers"
            )
        self.score, self.made = score, made_columns(tasks, self.table.schema)
        self.several_texts = TEXT_INDEX in self.made
        self.id_type = self.table.schema.field(ROW_ID).type
        self._folder = tempfile.TemporaryDirectory(prefix="vilt-scores-")
        self.database = open_database(f"{self._folder.name}/scores.duckdb", self._folder.name)

    def __enter__(self) -> ScoredRows:
        index = [TEXT_INDEX] if self.several_texts else []
        names = [ROW_ID, *index, self.score, ERROR]
        kinds = [key_type(self.id_type), *([pa.int32()] if index else []), pa.float64(), pa.string()]
        schema = pa.schema([("row_key", pa.int64()), *zip(names, kinds, strict=True)])
        statement = (
            f"CREATE TABLE scored AS SELECT row_key, row_id, {TEXT_INDEX if index else '0'}::INTEGER AS text_index, "
            f"{self.score} AS score FROM given WHERE error IS NULL AND isfinite({self.score})"
        )
        try:
            load(self.database, statement, schema, self._rows(names))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database."""
        self.database.close()
        self._folder.cleanup()

    @property
    def rows(self) -> int:
        """Return how many rows have a score."""
        count: int = self.database.execute("SELECT count(*) FROM scored").fetchall()[0][0]
        return count

    def _rows(self, names: list[str]) -> Iterator[pa.Table]:
        for rows in read_columns(self.table, names, WINDOW_ROWS):
            columns = [rows[ROW_KEY], *(keys_of(rows[name]) if name == ROW_ID else rows[name] for name in names)]
            yield pa.table(columns, names=["row_key", *names])
