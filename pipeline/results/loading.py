"""Load columns of results into DuckDB, under names of our own, whatever the user's columns are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, ROW_ID, ROW_KEY, TEXT_INDEX, TEXT_TRUNCATED
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ids import key_type, keys_of
from pipeline.common.tasks import OUTCOME_COLUMNS
from pipeline.results.reader import made_columns, score_column
from pipeline.results.result_table import results_named
from pipeline.tables.database import load
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import is_legible
from pipeline.tables.table import TableFiles

WINDOW_ROWS = 2**16  # read at a time
BEST_TEXTS = "best_texts"
BEST_SCORE = "best score"  # of an image of a rank job


def _as_it_is(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column


@dataclass(frozen=True)
class Value:
    """A column of the table in DuckDB.

    Attributes:
        name: Its name there.
        source: The column of the results that it is made from.
        kind: Its type.
        of: Return its values from those of the source.
    """

    name: str
    source: str
    kind: pa.DataType
    of: Callable[[pa.ChunkedArray], pa.ChunkedArray] = _as_it_is


@dataclass(frozen=True)
class Outcomes:
    """Which columns of results say how a row came out.

    Attributes:
        score: The name of the scores, for people; None if there are none.
        answer: The name of the answers or labels; None if there are none.
        values: The columns `score` and `answer` for DuckDB, as far as there are any.
    """

    score: str | None
    answer: str | None
    values: tuple[Value, ...]


def outcomes_of(tasks: Sequence[str], schema: pa.Schema) -> Outcomes:
    """Return the columns that tell how rows came out; the job's own count, not the user's of the same names."""
    made = made_columns(tasks, schema)
    if BEST_TEXTS in made:
        scores = Value("score", BEST_TEXTS, pa.float64(), lambda column: first_of(column, "score"))
        texts = Value("answer", BEST_TEXTS, pa.string(), lambda column: as_text(first_of(column, "text_id")))
        return Outcomes(BEST_SCORE, "best text", (scores, texts))
    score = score_column(tasks, schema)
    answer = next((name for name in OUTCOME_COLUMNS if name in made), None)
    values = [Value("score", score, pa.float64())] if score else []
    if answer:
        values.append(Value("answer", answer, pa.string(), as_text))
    return Outcomes(score, answer, tuple(values))


def common_values(schema: pa.Schema) -> list[Value]:
    """Return the row id as a key, the index of the text, and why a row has no result, as far as results have them."""
    kinds = {ROW_ID: key_type(schema.field(ROW_ID).type), TEXT_INDEX: pa.int32(), TEXT_TRUNCATED: pa.bool_()}
    values = [Value(name, name, kind) for name, kind in kinds.items() if name in schema.names and name != ROW_ID]
    return [
        Value(ROW_ID, ROW_ID, kinds[ROW_ID], keys_of),
        *values,
        *(text_value(name, name) for name in (ERROR, DETAIL)),
    ]


def text_value(name: str, source: str) -> Value:
    """Return a column of texts."""
    return Value(name, source, pa.string(), as_text)


def load_rows(database: duckdb.DuckDBPyConnection, name: str, table: TableFiles, values: Sequence[Value]) -> None:
    """Load all rows of a table into the table `name`: `row_key`, and these columns."""
    schema = pa.schema([("row_key", pa.int64()), *((value.name, value.kind) for value in values)])
    sources = list(dict.fromkeys(value.source for value in values))

    def windows() -> Iterator[pa.Table]:
        for rows in read_columns(table, sources, WINDOW_ROWS):
            columns = [_as_kind(value, rows[value.source]) for value in values]
            yield pa.Table.from_arrays([rows[ROW_KEY], *columns], schema=schema)

    with results_named():
        load(database, f"CREATE TABLE {name} AS SELECT * FROM given", schema, windows())


def _as_kind(value: Value, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as the table in DuckDB has it.

    Raises:
        ConfigError: Another program wrote it as something else.
    """
    try:
        return value.of(column).cast(value.kind)
    except pa.ArrowException as error:
        raise ConfigError(
            f"OUT: column {value.source!r} is {column.type}, and a job writes {value.kind} there: {first_line(error)}"
        ) from None


def is_plain(kind: pa.DataType) -> bool:
    """Return whether values of a type can be loaded as texts."""
    return is_legible(kind) and not isinstance(kind, pa.BaseExtensionType)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values of a plain type as texts; what is not UTF-8 is replaced.

    Raises:
        ConfigError: They are lists, structs or bytes.
    """
    kind = column.type
    if not is_plain(kind):
        raise ConfigError(f"the results have a column of type {kind} instead of one of texts, numbers or dates")
    if pa.types.is_dictionary(kind):
        return as_text(column.cast(kind.value_type))
    texts = column.cast(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        values = texts.cast(pa.binary()).to_pylist()
        shown = [None if value is None else value.decode("utf-8", "replace") for value in values]
        return pa.chunked_array([pa.array(shown, pa.string())])
    return texts


def first_of(column: pa.ChunkedArray, field: str) -> pa.ChunkedArray:
    """Return a field of the first struct of each list; null for a list without one."""
    lists = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else np.empty(0, np.int64)
    at = pa.array(starts, mask=counts == 0)
    return pa.chunked_array([lists.flatten().field(field).take(at)])
