"""Rows that a table of results has, and which of them are in the input under another key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.cluster.actor_pool import plan_pool
from pipeline.common.columns import ERROR, ROW_ID, ROW_KEY, ROW_SOURCE
from pipeline.common.error_codes import TRIED_BY_NEXT_RUN
from pipeline.common.row_ranges import ROW_BITS, RowSet
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import quiet
from pipeline.reindexing.table_folder import TableFolder
from pipeline.results.delta.values import convert, fit_schema
from pipeline.results.row_source import FileVersion, is_from, version_keys
from pipeline.results.work_folder import each
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.reading import read
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.table import InputTable

ID_ROWS = 2**17  # whose ids are read at a time
CONTENT = [ROW_ID, "hash"]  # by which a row is found again: its id, and a hash of all that the job reads of it


@dataclass(frozen=True)
class StoredRows:
    """The rows of the input that a table has results of, of some file versions.

    Attributes:
        rows: `source` (a `FileVersion.key`), `row`, `row_id`, `hash`, and `errors`: the list of the row's errors, null
            if a result is none.
    """

    rows: pa.Table

    @classmethod
    def none(cls) -> StoredRows:
        """Return no row."""
        return cls(pa.table({"source": [], "row": [], ROW_ID: [], "hash": [], "errors": []}))

    def row_keys(self, numbers: Mapping[FileVersion, int]) -> np.ndarray:
        """Return int64 (rows,): the keys of the rows; numbers: see `file_numbers`."""
        by_key = {version.key: number for version, number in numbers.items()}
        files = np.array([by_key[key] for key in self.rows["source"].to_pylist()], np.int64)
        keys: np.ndarray = (files << ROW_BITS) + self.rows["row"].to_numpy()
        return keys

    @property
    def errors(self) -> list[frozenset[str]]:
        """Return the errors of each row."""
        return [frozenset(error for error in errors if error) for errors in self.rows["errors"].to_pylist()]

    def with_result(self) -> pa.Table:
        """Return `row_id` and `hash` of the rows that need not be tried again, if no other row has the same."""
        final = pa.array([not errors & TRIED_BY_NEXT_RUN for errors in self.errors], pa.bool_())
        once = _distinct(self.rows.select(CONTENT))  # of all: a row that failed may have a double that did not
        return self.rows.filter(final).select(CONTENT).join(once, CONTENT, join_type="inner")


def stored_rows(folder: TableFolder, paths: Sequence[str], versions: Collection[FileVersion]) -> StoredRows:
    """Read which rows of these versions of the input's files some data files have; paths: below the table's folder."""
    columns = folder.table.schema()
    id_type = columns.field(ROW_ID).type if ROW_ID in columns.names else pa.int64()

    def of_file(path: str) -> pa.Table:
        table = read_columns_of(folder, path, [ROW_ID, ROW_SOURCE, ERROR])
        table = table.filter(is_from(table, versions))
        source = table[ROW_SOURCE].combine_chunks()
        values = [version_keys(table), source.field("row"), table[ROW_ID], source.field("hash"), table[ERROR]]
        return pa.table(dict(zip(("source", "row", *CONTENT, "error"), values, strict=True)))

    fields = [("source", pa.string()), ("row", pa.int64()), (ROW_ID, id_type), ("hash", pa.int64())]
    empty = pa.schema([*fields, ("error", pa.string())]).empty_table()
    results = pa.concat_tables([empty, *each(of_file, paths)])
    rows = results.group_by([name for name, _ in fields]).aggregate([("error", "distinct")])
    return StoredRows(rows.rename_columns({"error_distinct": "errors"}))


@dataclass(frozen=True)
class Moved:
    """Rows of outdated file versions that are in a new or changed file with the same content.

    Attributes:
        rows: `row_id`, `hash`, and `row_key`: where the row is now.
    """

    rows: pa.Table

    @property
    def row_set(self) -> RowSet:
        """Return where the rows are now."""
        return RowSet.of(self.rows["row_key"].to_numpy())

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.rows.num_rows)

    @classmethod
    def none(cls) -> Moved:
        """Return no row."""
        return cls(pa.schema([(name, pa.int64()) for name in (*CONTENT, "row_key")]).empty_table())


def find_moved(table: InputTable, config: JobConfig, done: RowSet, outdated: StoredRows) -> Moved:
    """Find rows of outdated file versions in the files that are being read.

    Args:
        table: The files being read.
        config: The job.
        done: Rows of these files that need not be looked at.
        outdated: The rows to find. One of several with the same content is left out: they cannot be told apart.
    """
    old = outdated.with_result()
    if not old.num_rows:
        return Moved.none()
    id_column, id_type = config.input.id, old.schema.field(ROW_ID).type

    def contents(windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for window in windows:
            ids = convert(with_row_id(window, id_column)[ROW_ID], id_type)
            hashes = pc.struct_field(window[ROW_SOURCE], "hash")
            yield pa.table({ROW_ID: ids, "hash": hashes, "row_key": window[ROW_KEY]})

    with quiet():
        windows_read = read(table, config, done, contents, plan_pool(config).decode_on)
        batches = windows_read.iter_batches(batch_size=None, batch_format="pyarrow")
        names = [*CONTENT, "row_key"]
        found = [batch.join(old, CONTENT, join_type="inner").select(names) for batch in batches]
    if not found:
        return Moved.none()
    rows = pa.concat_tables(found)
    return Moved(rows.join(_distinct(rows.select(CONTENT)), CONTENT, join_type="inner"))


def find_unchanged(
    table: InputTable, config: JobConfig, done: RowSet, outdated: StoredRows, changed: pa.ChunkedArray
) -> Moved:
    """Find rows of outdated file versions in the files that are being read, by their ids alone.

    Args:
        table: The files being read.
        config: The job, with a column of ids.
        done: Rows of these files that need not be looked at.
        outdated: The rows to find. Rows that share their id are left out: they cannot be told apart.
        changed: The ids of all rows that have other values now, or did not exist before.
    """
    old, id_column = outdated.with_result(), config.input.id
    if not old.num_rows or id_column is None:
        return Moved.none()
    id_type = old.schema.field(ROW_ID).type
    gone = pa.table({ROW_ID: convert(changed, id_type)})
    old = old.join(_once(outdated.rows), ROW_ID, join_type="inner").join(gone, ROW_ID, join_type="left anti")
    plan = table.plan([id_column], ID_ROWS)
    found = [
        pa.table({ROW_ID: convert(with_row_id(rows, id_column)[ROW_ID], id_type), "row_key": rows[ROW_KEY]})
        for unread in table.unread(done)
        for rows in unread.read(plan)
    ]
    if not found:
        return Moved.none()
    new = pa.concat_tables(found)
    kept = new.join(_once(new), ROW_ID, join_type="inner").join(old, ROW_ID, join_type="inner")
    return Moved(kept.select([*CONTENT, "row_key"]))


def _once(rows: pa.Table) -> pa.Table:
    """Return the ids that one row has."""
    counted = rows.select([ROW_ID]).group_by([ROW_ID]).aggregate([([], "count_all")])
    return counted.filter(pc.equal(counted["count_all"], 1)).select([ROW_ID])


def _distinct(contents: pa.Table) -> pa.Table:
    """Return the contents that there is one row of."""
    counted = contents.group_by(CONTENT).aggregate([([], "count_all")])
    return counted.filter(pc.equal(counted["count_all"], 1)).select(CONTENT)


def read_columns_of(folder: TableFolder, path: str, names: Sequence[str]) -> pa.Table:
    """Read columns of the data file at `path`, below the table's folder, in the table's types."""
    columns = folder.table.schema()
    return read_stored(folder.filesystem, f"{folder.root}/{path}", pa.schema([columns.field(name) for name in names]))


def read_stored(filesystem: AbstractFileSystem, path: str, columns: pa.Schema) -> pa.Table:
    """Read columns of a data file in the table's types; other programs rewrite files in types of their own."""
    arrow = arrow_filesystem(filesystem)
    return fit_schema(guarded_table(path, arrow, columns.names), columns)
