"""The input table: found and checked before anything starts, then read as a Ray Dataset with stable row ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from fsspec import AbstractFileSystem

from pipeline.common.columns import PLACE, ROW_HASH, ROW_ID, ROW_SOURCE, STATS, TEXTS
from pipeline.common.errors import ConfigError
from pipeline.common.row_ranges import Places, place_of
from pipeline.common.tasks import added_columns
from pipeline.config.job import Format, InputConfig, JobConfig, StorageConfig
from pipeline.storage.filesystem import STORAGE_ERRORS, arrow_filesystem, full_uri, open_fsspec
from pipeline.tables.datasource import InputFile, TableSource, Then, Unread, Wanted
from pipeline.tables.files import Found, list_files
from pipeline.tables.filter_expression import Filter
from pipeline.tables.parquet import open_parquet
from pipeline.tables.regions import check_features
from pipeline.tables.row_files import open_row_files
from pipeline.tables.row_formats import Csv, JsonLines, RowFormat, WebDataset
from pipeline.tables.schemas import require_column

MAX_BYTES = 2**62  # of an image, where no job limits it


@dataclass(frozen=True)
class Columns:
    """The columns to read, and whether the text column holds lists."""

    names: list[str]
    text_is_list: bool


@dataclass(frozen=True)
class Listing:
    """Files of a table, not yet opened: all, or some. folder: above all of them. paths: of all."""

    filesystem: AbstractFileSystem
    found: list[Found]
    folder: str
    format: Format
    paths: list[str]


@dataclass(frozen=True)
class TableFiles:
    """The files of a table. base: the URI of its folder, to which relative image URIs are relative."""

    files: list[InputFile]
    filesystem: AbstractFileSystem
    base: str
    format: Format
    schema: pa.Schema
    keep: Filter | None

    @property
    def rows(self) -> int:
        """How many rows there are to read, exactly: known before the run, so that none can be lost unseen."""
        return sum(piece.rows for file in self.files for piece in file.pieces)

    @property
    def fingerprint(self) -> str:
        """Hash of every file's name, size and version."""
        names = [(file.found.name, file.found.size, file.found.version) for file in self.files]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

    def unread(self, done: Places) -> list[Unread]:
        """What is left to read, where the places in `done` are finished."""
        out = []
        for number, file in enumerate(self.files):
            for piece in file.pieces:
                begin = place_of(number, piece.first)
                own = done.between(begin, begin + piece.all_rows)
                if len(own) < piece.rows:
                    out.append(Unread(number, file.found, piece, own))
        return out


@dataclass(frozen=True)
class InputTable(TableFiles):
    """A table whose columns were checked."""

    columns: Columns


def open_files(spec: InputConfig, storage: StorageConfig, image_bytes: int = MAX_BYTES) -> TableFiles:
    """Find the files and read what they say of themselves. image_bytes: most bytes of an image in a tar.

    Raises ConfigError.
    """
    return open_listed(list_table(spec, storage), spec, image_bytes)


def list_table(spec: InputConfig, storage: StorageConfig) -> Listing:
    """Find the files. Raises ConfigError."""
    filesystem, path = open_fsspec(spec.path, "input.path", storage)
    filesystem.invalidate_cache()
    try:
        found, folder, kind = list_files(filesystem, path, spec)
    except STORAGE_ERRORS as error:
        raise ConfigError(f"input.path: cannot read {spec.path!r}: {error}") from None
    return Listing(filesystem, found, folder, kind, [file.path for file in found])


def open_listed(listing: Listing, spec: InputConfig, image_bytes: int) -> TableFiles:
    """Read what the files say of themselves. Raises ConfigError."""
    filesystem, found, folder, kind = listing.filesystem, listing.found, listing.folder, listing.format
    keep = None
    if kind == "parquet":
        files, schema, keep = open_parquet(found, folder, arrow_filesystem(filesystem), spec.filter, listing.paths)
    elif spec.filter is not None:
        raise ConfigError(f"input.filter: is for Parquet tables; {spec.path!r} is {kind}")
    else:
        files, schema = open_row_files(found, filesystem, _row_format(kind, spec.id, image_bytes))
    return TableFiles(files, filesystem, full_uri(filesystem, folder), kind, schema, keep)


def open_table(config: JobConfig, listing: Listing | None = None) -> InputTable:
    """Find the files, unless they are listed, and check the columns that the config names. Raises ConfigError."""
    spec = config.input
    table = open_listed(listing or list_table(spec, config.storage), spec, config.limits.image_bytes)
    columns, schema = check_columns(table.schema, config), table.schema
    for name in (ROW_HASH, PLACE, TEXTS, STATS, *([ROW_SOURCE] if config.output.format == "delta" else ())):
        if name in (schema.names if spec.columns is None else spec.columns):
            raise ConfigError(
                f"input.columns: the table has a column {name!r}, a name that the job needs for itself; "
                "list the columns to carry without it"
            )
    return InputTable(**vars(table), columns=columns)


def _row_format(kind: Format, id_column: str | None, image_bytes: int) -> RowFormat:
    if kind == "csv":
        return Csv(id_column)
    return JsonLines() if kind == "jsonl" else WebDataset(image_bytes)


def check_columns(schema: pa.Schema, config: JobConfig) -> Columns:
    """Check every column that the config names against a table's schema. Raises ConfigError."""
    spec = config.input
    for key, names in (
        ("input.image", config.image_columns),
        ("input.text", config.text_columns),
        ("input.features", config.region_columns[:1]),
        ("input.features_mask", config.region_columns[1:]),
        ("input.columns", spec.columns or []),
    ):
        for name in names:
            require_column(schema, key, name)
    check_id(schema, spec.id)
    for name in config.image_columns:
        _check_image(schema.field(name), lists=config.image_columns == [name] and config.tasks == ["reason"])
    if config.region_columns:
        features, *mask = (schema.field(name) for name in config.region_columns)
        check_features(features, *(mask or [None]))
    lists = [_text_is_list(schema.field(name)) for name in config.text_columns]
    if any(lists) and len(lists) > 1:
        raise ConfigError("input.text: lists of texts come from one column; give that column alone, without tasks")
    return Columns(_columns_to_read(config, schema.names), any(lists))


def check_id(schema: pa.Schema, id_column: str | None) -> None:
    """Check the column of ids, where there is one. Raises ConfigError."""
    if id_column is not None:
        require_column(schema, "input.id", id_column)
        found = schema.field(id_column).type
        if not pa.types.is_integer(found):
            raise ConfigError(f"input.id: column {id_column!r} is {found}; row ids are integers: leave the key out")


def read(
    table: InputTable, config: JobConfig, done: Places, then: Then, on: dict[str, str] | None = None
) -> ray.data.Dataset:
    """What `then` makes of windows of `batch.window_rows` rows whose places are not in `done`, as a Dataset.

    on: the label selector of the nodes to read on; None: any.
    """
    what = replace(wanted(table, config.batch.window_rows), source=config.output.format == "delta")
    source = TableSource(table.unread(done), what, then)
    return ray.data.read_datasource(source, override_num_blocks=len(source.tasks), num_cpus=1, label_selector=on)


def wanted(table: InputTable, window_rows: int, names: list[str] | None = None) -> Wanted:
    """What the job reads of a table, or these columns, about `window_rows` rows at a time."""
    keep = table.keep
    names = table.columns.names if names is None else names
    needed = list(dict.fromkeys([*names, *(keep.columns() if keep else ())]))
    schema = pa.schema([table.schema.field(name) for name in needed])
    return Wanted(schema, names, keep.pyarrow() if keep else None, window_rows)


def read_columns(table: TableFiles, names: Sequence[str], window_rows: int) -> Iterator[pa.Table]:
    """The rows of the table in order, with these columns, `__place` and `row_hash`, in this process."""
    needed = list(dict.fromkeys([*names, *(table.keep.columns() if table.keep else ())]))
    if not needed and table.format != "parquet":  # whose rows cannot be counted without a column
        needed = table.schema.names[:1]
    schema = pa.schema([table.schema.field(name) for name in needed])
    wanted = Wanted(schema, list(names), table.keep.pyarrow() if table.keep else None, window_rows)
    for unread in table.unread(Places.none()):
        yield from unread.read(wanted)


def with_row_id(rows: pa.Table, id_column: str | None) -> pa.Table:
    """`rows` with an int64 column `row_id`: the user's ids, or the 64 bits of the row hash."""
    if id_column is None:
        ids = pa.chunked_array([chunk.view(pa.int64()) for chunk in rows[ROW_HASH].chunks], pa.int64())
        return rows.drop_columns([ROW_HASH]).append_column(ROW_ID, ids)
    rows = rows.drop_columns([ROW_HASH]) if ROW_HASH in rows.column_names else rows
    ids = pc.cast(rows[id_column], pa.int64(), safe=False)  # of uint64, the same 64 bits
    return rows if id_column == ROW_ID else rows.append_column(ROW_ID, ids)


def _decoded(kind: pa.DataType) -> pa.DataType:
    """The type of the values, where they are dictionary-encoded."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_image(field: pa.Field, lists: bool) -> None:
    is_list = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
    kind = _decoded(field.type.value_type if is_list and lists else field.type)
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
    added = set(added_columns(config.tasks)) - ({ROW_ID} if spec.id == ROW_ID else set())
    clash = [name for name in wanted if name in added]
    if clash:
        raise ConfigError(
            f"input.columns: the table has a column {clash[0]!r}, a name that the job adds; "
            f"list the columns to carry without it{' (or set input.id=row_id)' if clash[0] == ROW_ID else ''}"
        )
    needed = [*config.image_columns, *config.region_columns, *config.text_columns, *([spec.id] if spec.id else [])]
    return [name for name in names if name in {*wanted, *needed} and name != ROW_HASH]
