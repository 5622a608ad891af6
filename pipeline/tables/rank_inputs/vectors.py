"""Tables of vectors, of images or of texts from any model: opened before a job starts, read when it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ROW_ID
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import id_type, key_type, keys_of, shown_id
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.schemas import require_column
from pipeline.tables.table import TableFiles

WINDOW_ROWS = 8192
EXAMPLES = 3


@dataclass(frozen=True)
class Vectors:
    """Vectors of images or texts.

    Attributes:
        key: The config key that names them.
        table: The table that holds them.
        id: Its column of ids; None: the hash of a row's file and offset.
        column: The column of vectors.
        length: How many numbers each has; None: the rows say.
        key_type: The type of the keys of the ids that the images or texts have.
    """

    key: str
    table: TableFiles
    id: str | None
    column: str
    length: int | None
    key_type: pa.DataType

    @classmethod
    def of(cls, key: str, table: TableFiles, id_column: str | None, column: str, kind: pa.DataType) -> Vectors:
        """Check that a table has the columns.

        Args:
            key: The config key that names it.
            table: The table.
            id_column: Its column of ids.
            column: Its column of vectors.
            kind: The type of the ids that the images or texts have.

        Raises:
            ConfigError: It lacks a column, its ids are of another kind, or its vectors are no lists of floats.
        """
        for name in filter(None, (id_column, column)):
            require_column(table.schema, key, name)
        if id_column is not None:
            found = id_type(table.schema.field(id_column).type)
            both = [key_type(one) for one in (found, kind) if one is not None]
            if len(both) < 2 or (both[0] != both[1] and not all(map(pa.types.is_integer, both))):
                stored = table.schema.field(id_column).type
                raise ConfigError(f"{key}.id: column {id_column!r} is {stored}, and the ids it names are {kind}")
        vectors = table.schema.field(column).type
        lists = pa.types.is_fixed_size_list(vectors) or pa.types.is_list(vectors) or pa.types.is_large_list(vectors)
        if not lists or not pa.types.is_floating(vectors.value_type):
            raise ConfigError(f"{key}.vector: column {column!r} is {vectors}; a vector is a list of floats")
        length = vectors.list_size if pa.types.is_fixed_size_list(vectors) else None
        return cls(key, table, id_column, column, length, key_type(kind))

    def read(
        self, only: pa.Array | None = None, rows_chosen: np.ndarray | None = None
    ) -> Iterator[tuple[pa.Array, np.ndarray]]:
        """Yield the keys of some rows' ids, and their vectors, float32 (rows, length).

        Args:
            only: Keys of the rows to read, others are left out; None: all.
            rows_chosen: bool (rows,), which of the table's rows to read, in its order; None: all.

        Raises:
            ConfigError: A row has no vector, or one of another length, or not of finite numbers.
        """
        length, first = self.length, 0
        for rows in read_columns(self.table, [name for name in (self.id, self.column) if name], WINDOW_ROWS):
            keys = keys_of(with_row_id(rows, self.id)[ROW_ID])
            keys = keys.combine_chunks().cast(self.key_type, safe=False)  # an id out of range is none that is known
            column = rows[self.column].combine_chunks()
            if only is not None or rows_chosen is not None:
                here = None if rows_chosen is None else rows_chosen[first : first + len(keys)]
                chosen = pc.is_in(keys, only) if here is None else pa.array(here)
                first += len(keys)
                keys, column = keys.filter(chosen), column.filter(chosen)
            if len(keys):
                vectors = self._matrix(keys, column, length)
                length = vectors.shape[1]
                yield keys, vectors

    def _matrix(self, keys: pa.Array, column: pa.Array, length: int | None) -> np.ndarray:
        """Return a column of vectors as float32 (rows, length)."""
        self._check(keys, pc.is_null(column), "has no vector")
        lengths = pc.list_value_length(column)
        expected = lengths[0].as_py() if length is None else length
        self._check(keys, pc.not_equal(lengths, expected), f"has a vector of another length than {expected}")
        numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        vectors: np.ndarray = numbers.reshape(len(column), expected)
        self._check(keys, pa.array(~np.isfinite(vectors).all(axis=1)), "has a vector with NaN or infinity")
        return vectors

    def _check(self, keys: pa.Array, wrong: pa.Array, what: str) -> None:
        """Raise ConfigError that counts and lists the rows with a fault, if there are some."""
        found = keys.filter(wrong)
        if len(found):
            raise self.fault(found, what)

    def fault(self, keys: pa.Array, what: str) -> ConfigError:
        """Return the error that counts and lists some rows.

        Args:
            keys: The keys of the rows' ids, one at least.
            what: What is wrong with each, as "has no vector".
        """
        some = ", ".join(map(str, map(shown_id, keys[:EXAMPLES])))
        more = ", ..." if len(keys) > EXAMPLES else ""
        rows = "row" if len(keys) == 1 else f"{len(keys):,} rows, each of which"
        return ConfigError(f"{self.key}: column {self.column!r}: {rows} {what}: {some}{more}")
