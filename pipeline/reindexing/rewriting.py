"""Rewrite data files of a table of results: without the rows that leave, with the new keys of those that move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ERROR, ROW_ID, ROW_SOURCE
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ranges import ROW_BITS, RowSet
from pipeline.reindexing.stored_rows import CONTENT, Moved, read_columns_of
from pipeline.reindexing.table_folder import PARTS, TableFolder
from pipeline.results.delta.data_files import DataFile
from pipeline.results.delta.values import convert, fit_schema
from pipeline.results.file_footer import truncated_in
from pipeline.results.row_source import FileVersion, is_from, version_keys
from pipeline.results.work_folder import each, read_part, write_parquet
from pipeline.tables.provenance import TYPE, row_sources
from pipeline.tables.table import InputTable


@dataclass(frozen=True)
class Rewrite:
    """How data files change.

    Attributes:
        outdated: File versions whose rows leave.
        moved: Rows of them that stay, under a new key.
        again: Rows that were read again.
        table: The files being read, to which the keys refer; None if none is read.
        numbers: See `file_numbers`.
        columns: The columns of the table after the run.
    """

    outdated: Collection[FileVersion]
    moved: Moved
    again: RowSet
    table: InputTable | None
    numbers: Mapping[FileVersion, int]
    columns: pa.Schema


@dataclass(frozen=True)
class Rewritten:
    """A data file that is replaced.

    Attributes:
        old: The file.
        path: Below PARTS, the file with the rows that stay; None if none does.
        rows: How many rows stay.
        errors: Reason -> rows that leave, and had this error.
        truncated: How many rows leave of whose text the model read the beginning alone.
    """

    old: DataFile
    path: str | None
    rows: int
    errors: Counter[str]
    truncated: int = 0


def rewrite(folder: TableFolder, file: DataFile, target: str, change: Rewrite) -> Rewritten | None:
    """Write the rows of a data file that stay to `target`, below PARTS.

    Returns:
        What became of the file; None if all of it stays as it is.
    """
    table, lineage = read_part(folder.filesystem, f"{folder.root}/{file.path}")
    columns = pa.schema([field for field in change.columns if field.name in table.column_names])
    fits = all(field.type == table.schema.field(field.name).type for field in columns)
    stored = folder.table.schema()
    table = fit_schema(table, pa.schema([stored.field(name) for name in columns.names]))
    leaves, again = is_from(table, change.outdated), _is_at(table, change.again, change.numbers)
    stays = pc.invert(pc.or_(leaves, again))
    if fits and pc.all(stays).as_py() is not False:
        return None
    out = fit_schema(pa.concat_tables([table.filter(stays), _moved(table.filter(leaves), change)]), columns)
    path = target if out.num_rows else None
    if path:
        write_parquet(folder.filesystem, f"{folder.root}/{PARTS}/{path}", [out.combine_chunks()], lineage)
    truncated = truncated_in([table]) - truncated_in([out])
    return Rewritten(file, path, out.num_rows, error_counts(table) - error_counts(out), truncated)


def check_rewrite(folder: TableFolder, files: Sequence[DataFile], gone: Collection[FileVersion], to: pa.Schema) -> None:
    """Check that the rows that stay fit the table's new types, before any work.

    Raises:
        ConfigError: A value does not.
    """
    now = folder.table.schema()
    names = [name for name in now.names if name in to.names and now.field(name).type != to.field(name).type]

    def check(file: DataFile) -> None:
        table = read_columns_of(folder, file.path, [*names, ROW_SOURCE])
        table = table.filter(pc.invert(is_from(table, gone)))
        for name in names:
            try:
                convert(table[name], to.field(name).type)
            except pa.ArrowException as error:
                raise ConfigError(
                    f"input.columns: column {name!r} is {to.field(name).type} in the new files and "
                    f"{now.field(name).type} in the table of results, whose values do not fit: {first_line(error)}; "
                    "leave it out, or write to another output.path"
                ) from None

    if names:
        each(check, files)


def error_counts(table: pa.Table) -> Counter[str]:
    """Return how many rows have which error."""
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(table[ERROR].drop_null()).to_pylist()})


def _is_at(table: pa.Table, keys: RowSet, numbers: Mapping[FileVersion, int]) -> pa.Array:
    """Return bool (rows,): rows that are under one of these keys."""
    out = np.zeros(table.num_rows, bool)
    if len(keys):
        by_key = {version.key: number for version, number in numbers.items()}
        rows = table[ROW_SOURCE].combine_chunks().field("row").to_numpy()
        files = np.array([by_key.get(key, -1) for key in version_keys(table).to_pylist()], np.int64)
        out = (files >= 0) & keys.contains((files << ROW_BITS) + rows)
    return pa.array(out)


def _moved(table: pa.Table, change: Rewrite) -> pa.Table:
    """Return the rows of outdated file versions that stay, with the keys that they have now."""
    if not len(change.moved) or not table.num_rows:
        return table.slice(0, 0)
    source = table[ROW_SOURCE].combine_chunks()
    keyed = pa.table({ROW_ID: table[ROW_ID], "hash": source.field("hash"), "at": np.arange(table.num_rows)})
    found = keyed.join(change.moved.rows, CONTENT, join_type="inner")
    out = table.take(found["at"])
    assert change.table is not None
    keys = found["row_key"].to_numpy()
    files = [change.table.files[number].file for number in keys >> ROW_BITS]
    rows = keys & (1 << ROW_BITS) - 1
    moved = row_sources([file.name for file in files], [file.version for file in files], rows, found["hash"].to_numpy())
    return out.set_column(out.column_names.index(ROW_SOURCE), pa.field(ROW_SOURCE, TYPE), moved)
