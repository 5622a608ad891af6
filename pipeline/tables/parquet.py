"""Parquet tables: footers read and compared before anything starts, then row groups read one by one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
from ray.data.datasource.partitioning import Partitioning, PathPartitionParser

from pipeline.common.errors import ConfigError, first_line
from pipeline.storage.filesystem import STORAGE_ERRORS, in_threads
from pipeline.tables.datasource import InputFile, Piece
from pipeline.tables.files import Found
from pipeline.tables.filter_expression import Filter, parse_filter
from pipeline.tables.schemas import unify

FORMAT = ds.ParquetFileFormat()
EVERYWHERE = ds.scalar(True)


class Group(NamedTuple):
    """A row group: its number in the file, its rows, its bytes."""

    id: int
    rows: int
    size: int


def open_parquet(
    files: list[Found], folder: str, filesystem: pyarrow.fs.FileSystem, keep: str | None, all_paths: list[str]
) -> tuple[list[InputFile], pa.Schema, Filter | None]:
    """Read all footers; the files with a piece for each row group, the schema of all together with the columns of their
    folders' names (`year=2026`) last, and the filter. all_paths: of the table, whose folders' names decide together of
    what type these columns are. Raises ConfigError naming the file that is wrong.

    Of a footer the sizes of its row groups stay in memory, and its schema, where no file before it has the same.
    """
    paths = [file.path for file in files]
    schemas: dict[pa.Schema, pa.Schema] = {}
    footers: list[tuple[pa.Schema, list[Group]]] = []
    for schema, groups in in_threads(lambda path: _footer(path, filesystem), paths):
        footers.append((schemas.setdefault(schema, schema), groups))
    schema = unify(paths, [own for own, _ in footers])
    keys = _partitions(all_paths, folder, schema)
    schema, hive = pa.schema([*schema, *keys]), ds.HivePartitioning(keys)
    condition = None if keep is None else parse_filter(keep, schema)

    def pieces(number: int) -> InputFile:
        file, groups = files[number], footers[number][1]
        where = hive.parse(f"/{file.name.rpartition('/')[0]}/") if len(keys) else EVERYWHERE
        return InputFile(file, _pieces(file.path, filesystem, groups, where, schema, condition))

    return list(in_threads(pieces, range(len(files)))), schema, condition


def _footer(path: str, filesystem: pyarrow.fs.FileSystem) -> tuple[pa.Schema, list[Group]]:
    """What the footer of a file says: its schema without metadata, its row groups."""
    try:
        fragment = FORMAT.make_fragment(path, filesystem)
        fragment.ensure_complete_metadata()
        groups = [Group(group.id, group.num_rows, group.total_byte_size) for group in fragment.row_groups]
        return fragment.physical_schema.remove_metadata(), groups
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"input.path: {path!r} is not Parquet, or is cut off: {first_line(error)}") from None
    except STORAGE_ERRORS as error:
        raise ConfigError(f"input.path: cannot read {path!r}: {first_line(error)}") from None


def _pieces(
    path: str,
    filesystem: pyarrow.fs.FileSystem,
    groups: list[Group],
    where: ds.Expression,
    schema: pa.Schema,
    keep: Filter | None,
) -> list[Piece]:
    """A piece for each row group. where: what the folders' names say of the file."""
    out, first = [], 0
    for group in groups:
        windows = partial(_windows, path, filesystem, where, group.id)
        rows = group.rows
        if keep is not None:
            rows = _count(FORMAT.make_fragment(path, filesystem, where, [group.id]), schema, keep)
        out.append(Piece(first, rows, group.rows, group.size, windows))
        first += group.rows
    return out


def _windows(
    path: str, filesystem: pyarrow.fs.FileSystem, where: ds.Expression, group: int, schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    """`Windows` of a row group, once the first four are bound."""
    fragment = FORMAT.make_fragment(path, filesystem, where, [group])
    scanner = fragment.scanner(
        schema=schema, columns=schema.names, batch_size=rows, batch_readahead=1, fragment_readahead=1
    )
    for batch in scanner.to_batches():
        yield pa.Table.from_batches([batch])


def _count(fragment: ds.ParquetFileFragment, schema: pa.Schema, keep: Filter) -> int:
    """Rows that the filter lets through; only its columns are read."""
    try:
        # Not `count_rows`: where a folder's name decides, pyarrow 26 counts all row groups of the file.
        return sum(b.num_rows for b in fragment.scanner(schema=schema, columns=[], filter=keep.pyarrow()).to_batches())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ConfigError(f"input.filter: {keep.text!r} does not fit the columns: {first_line(error)}") from None


def _partitions(files: list[str], folder: str, schema: pa.Schema) -> pa.Schema:
    """The columns that are in the names of the files' folders below `folder`: int64 where all values are, else
    string. Raises ConfigError where they differ from file to file."""
    parse = PathPartitionParser(Partitioning("hive", base_dir=folder))
    values = [parse(file) for file in files]
    for file, found in zip(files, values, strict=True):
        if found.keys() != values[0].keys():
            raise ConfigError(
                f"input.path: the folders of {file!r} name the columns {list(found) or 'none'}, "
                f"those of {files[0]!r} {list(values[0]) or 'none'}"
            )
    for name in values[0]:
        if name in schema.names:
            raise ConfigError(f"input.path: column {name!r} is in the files and in the names of their folders")
    whole = {name for name in values[0] if all(_is_int(found[name]) for found in values)}
    return pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in values[0]])


def _is_int(text: str) -> bool:
    """Whether an int64 holds all of a text, which it does not of "007"."""
    return text.lstrip("-").isdecimal() and len(text) < 19 and str(int(text)) == text
