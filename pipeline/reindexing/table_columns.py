"""The columns of a table of results: what the input's become there, checked before any work."""

from __future__ import annotations

import pyarrow as pa

from pipeline.common.columns import ROW_HASH, ROW_ID, ROW_KEY, ROW_SOURCE
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ranges import ROW_BITS
from pipeline.config.job import JobConfig
from pipeline.reindexing.input_snapshot import InputSnapshot
from pipeline.results.delta.types import delta_schema, evolve, holds
from pipeline.results.delta.values import convert
from pipeline.results.results_version import written_sha256
from pipeline.stages.checkpoints import Models
from pipeline.stages.output_rows import carried_names
from pipeline.tables.formats.parquet.partitions import folder_columns
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.schemas import unify
from pipeline.tables.table import InputTable

CHECKED_ROWS = 2**16  # read at a time


def identity_of(config: JobConfig, models: Models) -> dict[str, str]:
    """Return hashes of all that decides the results of a row: a table with another identity is made anew."""
    return {
        "model": models.lineage["vilt.weights_sha256"],
        "config": models.lineage["vilt.config_sha256"],
        "results": written_sha256(config),
    }


def carried_columns(table: InputTable, config: JobConfig) -> pa.Schema:
    """Return the columns of the input as results carry them, in the types of a Delta table; null stays null.

    Raises:
        ConfigError: Some columns do not fit; the message names all of them.
    """
    lists = config.text_columns if table.columns.text_is_list else []
    names = carried_names(_read(table), config)
    kinds = [(name, pa.string() if name in lists else table.schema.field(name).type) for name in names]
    added = [name for name in config.added_columns if name not in names]
    return delta_schema(pa.schema(kinds), (*added, ROW_SOURCE), null=pa.null())


def _read(table: InputTable) -> pa.Schema:
    """Return the columns that the job reads."""
    return pa.schema([table.schema.field(name) for name in table.columns.names])


def table_columns(table: InputTable, config: JobConfig, before: InputSnapshot, stored: pa.Schema) -> pa.Schema:
    """Return the columns that the table of results will have, but for those that the job adds and it has not yet.

    They are those that a table would have that is made anew from all files of the input, those that are unchanged
    included.

    Args:
        table: The files being read.
        config: The job.
        before: The files that stay as they are.
        stored: The columns of the table of results now; none if no row of it stays.

    Raises:
        ConfigError: A column does not fit.
    """
    new = carried_columns(table, config)
    file_names = [*(file.name for file in table.files), *before.files]
    in_folders = {column for name in file_names for column in folder_columns(name)}
    schemas, names = [new], ["the new files"]
    for name, file in before.files.items():
        if file.columns not in schemas:
            schemas.append(file.columns)
            names.append(name)
    plain = [pa.schema([field for field in schema if field.name not in in_folders]) for schema in schemas]
    every = {field.name: field.type for field in unify(names, plain)}
    for name in in_folders & set(new.names):  # numbers, unless some folder's name is none
        kinds = {schema.field(name).type for schema in schemas if name in schema.names} - {pa.null()}
        every[name] = (kinds or {pa.null()}).pop() if len(kinds) < 2 else pa.string()
    unified = delta_schema(pa.schema([(name, every[name]) for name in every]))
    if ROW_ID not in unified.names:
        ids = with_row_id(_no_rows(table), config.input.id)[ROW_ID].type
        unified = unified.append(pa.field(ROW_ID, delta_schema(pa.schema([(ROW_ID, ids)])).field(0).type))
    return evolve(stored, unified)


def check_values(table: InputTable, config: JobConfig, columns: pa.Schema) -> None:
    """Check that the table of results holds each value of the input exactly.

    Only columns are read whose type does not tell: nanoseconds may be whole microseconds, or not.

    Raises:
        ConfigError: A value does not fit.
    """
    names = [
        name
        for name in carried_names(_read(table), config)
        if name not in config.text_columns and not holds(columns.field(name).type, table.schema.field(name).type)
    ]
    if not names:
        return
    for rows in read_columns(table, names, CHECKED_ROWS):
        for name in names:
            try:
                convert(rows[name], columns.field(name).type)
            except pa.ArrowException as error:
                raise ConfigError(_misfit(table, rows, name, columns.field(name).type, first_line(error))) from None


def _misfit(table: InputTable, rows: pa.Table, name: str, kind: pa.DataType, why: str) -> str:
    """Return the message about a column of a window in which a value does not fit."""
    file = table.files[rows[ROW_KEY][0].as_py() >> ROW_BITS].name
    return (
        f"input.columns: column {name!r} holds a value, in {file!r}, that is not exact as the {kind} of a Delta table: "
        f"{why}. List the columns to carry without it in input.columns, or set output.format=parquet"
    )


def _no_rows(table: InputTable) -> pa.Table:
    """Return a window without rows."""
    columns = [table.schema.field(name) for name in table.columns.names]
    return pa.schema([*columns, pa.field(ROW_HASH, pa.int64())]).empty_table()
