"""The input table: found and checked before anything starts, then read as a Ray Dataset with stable row ids."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import ray.data
from fsspec import AbstractFileSystem

from pipeline.config import ConfigError, JobConfig
from pipeline.schema import ROW_ID, added_columns
from pipeline.storage import STORAGE_ERRORS, arrow_filesystem, full_uri, open_fsspec

_GLOB = re.compile(r"[*?\[]")
ROW_HASH = "row_hash"  # Ray Data's name for its hash of path and place


@dataclass(frozen=True)
class Columns:
    """The columns to read, and whether the text column holds lists."""

    names: list[str]
    text_is_list: bool


@dataclass(frozen=True)
class InputTable:
    """A checked table. `base`: the URI of its folder, to which relative image URIs are relative."""

    files: list[str]
    filesystem: pa.fs.FileSystem
    base: str
    rows: int
    columns: Columns


def open_table(config: JobConfig) -> InputTable:
    """Find the files, read their footers and check the columns that the config names. Raises ConfigError."""
    given = config.input.path
    filesystem, path = open_fsspec(given, "input.path")
    arrow_fs = arrow_filesystem(filesystem)
    try:
        files = _list_files(filesystem, path, given)
        dataset = pyarrow.dataset.dataset(files, filesystem=arrow_fs, format="parquet", partitioning="hive")
        rows = dataset.count_rows()
    except pa.ArrowInvalid as error:
        raise ConfigError(f"input.path: {given!r} holds a file that is not Parquet: {error}") from None
    except STORAGE_ERRORS as error:
        raise ConfigError(f"input.path: cannot read {given!r}: {error}") from None
    columns = check_columns(dataset.schema, config)
    folder = path.rsplit("/", 1)[0] if files == [path] else _above_glob(path)
    return InputTable(files, arrow_fs, full_uri(filesystem, folder), rows, columns)


def check_columns(schema: pa.Schema, config: JobConfig) -> Columns:
    """Check every column that the config names against a table's schema. Raises ConfigError."""
    spec = config.input
    _require(schema, "input.image", spec.image)
    _require(schema, "input.text", spec.text)
    for name in spec.columns or []:
        _require(schema, "input.columns", name)
    if spec.id is not None:
        _require(schema, "input.id", spec.id)
        found = schema.field(spec.id).type
        if not pa.types.is_integer(found):
            raise ConfigError(f"input.id: column {spec.id!r} is {found}; row ids are integers: leave the key out")
    _check_image(schema.field(spec.image))
    return Columns(_columns_to_read(config, schema.names), _text_is_list(schema.field(spec.text)))


def read(table: InputTable, config: JobConfig) -> ray.data.Dataset:
    """The table as a Dataset in blocks of about `batch.window_rows` rows; without `input.id`, with `row_hash`."""
    hashed = config.input.id is None
    dataset = ray.data.read_parquet(table.files, filesystem=table.filesystem, include_row_hash=hashed)
    dataset = dataset.select_columns([*table.columns.names, *([ROW_HASH] if hashed else [])])
    return dataset.repartition(target_num_rows_per_block=config.batch.window_rows)


def with_row_id(rows: pa.Table, id_column: str | None) -> pa.Table:
    """`rows` with an int64 column `row_id`: the user's ids, or the 64 bits of Ray Data's row hash."""
    if id_column is None:
        ids = rows[ROW_HASH].combine_chunks().view(pa.int64())
        return rows.drop_columns([ROW_HASH]).append_column(ROW_ID, ids)
    ids = pc.cast(rows[id_column], pa.int64(), safe=False)  # of uint64, the same 64 bits
    return rows if id_column == ROW_ID else rows.append_column(ROW_ID, ids)


def _list_files(filesystem: AbstractFileSystem, path: str, given: str) -> list[str]:
    """The Parquet files at a file, folder or glob, sorted; hidden ones (`_` or `.` in front) are left out."""
    if _GLOB.search(path):
        found = filesystem.glob(path)
    elif filesystem.isfile(path):
        return [path]
    elif filesystem.exists(path):
        found = filesystem.find(path)
    else:
        raise ConfigError(f"input.path: {given!r} does not exist")
    folder = _above_glob(path)
    files = sorted(f for f in found if f.endswith(".parquet") and not _hidden(f.removeprefix(folder)))
    if not files:
        raise ConfigError(f"input.path: {given!r} holds no .parquet files ({len(found)} others)")
    return files


def _above_glob(path: str) -> str:
    """The folder that holds all that a path or glob can match."""
    fixed, *wild = _GLOB.split(path, maxsplit=1)
    return fixed.rpartition("/")[0] if wild else path.rstrip("/")


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative.split("/"))


def _require(schema: pa.Schema, key: str, name: str) -> None:
    if name not in schema.names:
        close = difflib.get_close_matches(name, schema.names, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"{key}: the table has no column {name!r}; {hint}it has {', '.join(schema.names)}")


def _decoded(kind: pa.DataType) -> pa.DataType:
    """The type of the values, where they are dictionary-encoded."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_image(field: pa.Field) -> None:
    kind = _decoded(field.type)
    encoded = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    uri = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    either = pa.types.is_struct(kind) and {f.name for f in kind} >= {"bytes", "path"}
    if not (encoded or uri or either):
        raise ConfigError(
            f"input.image: column {field.name!r} is {kind}; an image is binary, a string with its URI, or a struct "
            "of both as {bytes, path}"
        )


def _text_is_list(field: pa.Field) -> bool:
    is_list = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
    kind = _decoded(field.type.value_type if is_list else field.type)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ConfigError(f"input.text: column {field.name!r} is {field.type}; a text is a string or a list of strings")
    return is_list


def _columns_to_read(config: JobConfig, names: Sequence[str]) -> list[str]:
    """The user's columns, and those the job needs. Raises ConfigError where one has the name of an added column."""
    spec = config.input
    wanted = list(names) if spec.columns is None else spec.columns
    added = set(added_columns(config.task)) - ({ROW_ID} if spec.id == ROW_ID else set())
    clash = [name for name in wanted if name in added]
    if clash:
        raise ConfigError(
            f"input.columns: the table has a column {clash[0]!r}, a name that the job adds; "
            f"list the columns to carry without it{' (or set input.id=row_id)' if clash[0] == ROW_ID else ''}"
        )
    needed = [spec.image, spec.text, *([spec.id] if spec.id else [])]
    return [name for name in names if name in {*wanted, *needed} and name != ROW_HASH]
