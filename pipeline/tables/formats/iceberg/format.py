"""Iceberg tables as input: one snapshot of the table, as its metadata says it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common import uris
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ranges import RowSet
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import arrow_filesystem, full_uri, open_fsspec
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.format import Listing
from pipeline.tables.formats.logged.columns import FIELD_ID, Matching
from pipeline.tables.formats.logged.files import LoggedFile
from pipeline.tables.formats.logged.format import LoggedFormat, LoggedListing, in_order
from pipeline.tables.schemas import is_list

if TYPE_CHECKING:  # pyiceberg is an extra, and is loaded when there is an Iceberg table
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, StaticTable, Table

SCHEME = "iceberg://"
METADATA = re.compile(r"\.metadata\.json(\.gz)?$|\.gz\.metadata\.json$")


class IcebergFormat(LoggedFormat):
    """An Iceberg table (`pip install .[iceberg]`).

    `input.path` is a `...metadata.json`; or `iceberg://catalog/namespace.table`, a catalog of pyiceberg's own
    configuration and a table in it; or the folder of a table that has one metadata file or a `version-hint.text`. The
    Parquet files of the current snapshot, or of the one of `input.version` (a snapshot id, branch or tag) or
    `input.timestamp`. Columns are matched by field ids. Positional deletes are applied; tables with equality deletes,
    deletion vectors, or files outside of the table's location and of `input.allow` are refused.
    """

    name = "iceberg"
    title = "an Iceberg table"
    marker_folder = "metadata"
    marker = re.compile(r"(?:^|/)metadata/[^/]*\.metadata\.json(\.gz)?$")

    def list_named(self, spec: InputConfig, storage: StorageConfig) -> Listing | None:
        """Return the table if the path names a catalog's table or a metadata file."""
        if spec.path.startswith(SCHEME):
            catalog, _, table = spec.path.removeprefix(SCHEME).partition("/")
            if not catalog or "." not in table:
                raise ConfigError(f"input.path: {spec.path!r} is no table; write iceberg://catalog/namespace.table")
            with _refused(spec.path):
                from pipeline.tables.formats.iceberg.metadata_files import load_table

                return self._listing(load_table(catalog, table), spec, storage)
        if METADATA.search(spec.path) and spec.format in (None, self.name):
            return self._read_metadata(spec.path, spec, storage)
        return None

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the table in a folder, if it is clear which of its metadata files is the current one."""
        names = [path.rpartition("/")[2] for path in filesystem.find(f"{folder}/{self.marker_folder}", maxdepth=1)]
        found = sorted(name for name in names if METADATA.search(name))
        if "version-hint.text" in names:
            hint = filesystem.cat_file(f"{folder}/{self.marker_folder}/version-hint.text").decode().strip()
            found = [name for name in found if METADATA.sub("", name) in (hint, f"v{hint}")]
        base = f"{full_uri(filesystem, folder)}/{self.marker_folder}"
        if len(found) != 1:
            last = f", the last by name {found[-1]!r}" if found else ""
            raise ConfigError(
                f"input.path: {spec.path!r} is an Iceberg table with {len(found) or 'no'} current metadata files"
                f"{last}; its catalog knows which one counts: name iceberg://catalog/namespace.table, or the metadata "
                "file, in input.path"
            )
        return self._read_metadata(f"{base}/{found[0]}", spec, storage)

    def _read_metadata(self, uri: str, spec: InputConfig, storage: StorageConfig) -> Listing:
        uri = uri if uris.scheme(uri) else os.path.abspath(uri)
        with _refused(uri):
            from pipeline.tables.formats.iceberg.metadata_files import open_metadata

            return self._listing(open_metadata(uri, spec, storage), spec, storage)

    def _listing(self, table: Table | StaticTable, spec: InputConfig, storage: StorageConfig) -> Listing:
        snapshot = _snapshot(table, spec)
        earlier = spec.version is not None or spec.as_of is not None  # with the columns that it had then
        scan = table.scan(snapshot_id=snapshot) if earlier else table.scan()
        location = table.location().rstrip("/")
        filesystem, folder = open_fsspec(location, "input.path", storage)
        places = _Places(filesystem, folder.rstrip("/"), spec)
        tasks = list(scan.plan_files())
        if not tasks:
            raise ConfigError(f"input.path: snapshot {snapshot} of {spec.path!r} has no file, and so no rows")
        deleted = _deleted_rows(tasks, filesystem, places)
        schema = scan.projection()
        files = [_file(task, table, schema, places, deleted) for task in tasks]
        columns, names = _arrow_schema(schema), table.name_mapping()
        mapped = {str(one.field_id): tuple(one.names) for one in names.root if one.field_id} if names else {}
        matching = Matching(FIELD_ID, FIELD_ID, tuple(mapped.items()))
        version, paths = f"snapshot {snapshot}", [file.path for file in files]
        return LoggedListing(
            filesystem,
            in_order(places.folder, files),
            places.folder,
            self,
            paths,
            version,
            columns,
            matching,
            files_first=True,
        )


@contextmanager
def _refused(uri: str) -> Iterator[None]:
    """Turn what pyiceberg and the storage raise into one line."""
    try:
        yield
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"input.path: {uri!r} is an Iceberg table, for which pyiceberg is missing ({first_line(error)}): "
            "pip install '.[iceberg]'"
        ) from None
    except Exception as error:  # each catalog has errors of its own
        raise ConfigError(
            f"input.path: cannot read the Iceberg table {uri!r}: {first_line(error) or type(error).__name__}"
        ) from None


def _snapshot(table: Table | StaticTable, spec: InputConfig) -> int:
    """Return the id of the snapshot that a config names."""
    if spec.as_of is not None:
        found = table.snapshot_as_of_timestamp(int(spec.as_of.timestamp() * 1000))
        if found is None:
            raise ConfigError(f"input.timestamp: {spec.timestamp} is before the first snapshot of {spec.path!r}")
    elif spec.version is not None:
        named = str(spec.version)
        found = table.snapshot_by_id(int(named)) if named.isdecimal() else table.snapshot_by_name(named)
        if found is None:
            known = ", ".join(str(one.snapshot_id) for one in table.snapshots()[-3:])
            raise ConfigError(
                f"input.version: {spec.version!r} is no snapshot, branch or tag of {spec.path!r}; its last snapshots "
                f"are {known or 'none'}"
            )
    else:
        found = table.current_snapshot()
        if found is None:
            raise ConfigError(f"input.path: {spec.path!r} has no snapshot, and so no rows")
    return int(found.snapshot_id)


def _arrow_schema(schema: Schema) -> pa.Schema:
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    fields = schema_to_pyarrow(schema)
    return pa.schema([field.with_type(_narrow(field.type)) for field in fields])


def _narrow(kind: pa.DataType) -> pa.DataType:
    """Return a type with strings and bytes as Parquet files have them, and the ids of nested fields as they are."""
    types = pa.types
    if types.is_large_string(kind):
        return pa.string()
    if types.is_large_binary(kind):
        return pa.binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_narrow(field.type)) for field in kind])
    if is_list(kind):
        return pa.list_(kind.value_field.with_type(_narrow(kind.value_type)))
    return kind


class _Places:
    """Where files may be: below the table's location, or below a prefix of `input.allow`."""

    def __init__(self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig) -> None:
        self.filesystem, self.folder, self.spec = filesystem, folder, spec
        self.allowed = [uris.as_prefix(uris.normal(one)) for one in spec.allow if not uris.is_any_host(one)]

    def locate(self, uri: str) -> tuple[str, str]:
        """Return the path and the name of a file. Raises ConfigError if it may not be read."""
        protocols = self.filesystem.protocol
        scheme = uris.scheme(uri) or "file"
        path = self.filesystem._strip_protocol(uri)
        if scheme in ((protocols,) if isinstance(protocols, str) else protocols) and ".." not in path.split("/"):
            if path.startswith(f"{self.folder}/"):
                return path, path.removeprefix(f"{self.folder}/")
            if uris.normal(uri).startswith(tuple(self.allowed)):
                return path, uri
        raise ConfigError(
            f"input.path: the Iceberg table {self.spec.path!r} has the file {uri!r}, which is not below its location "
            f"{full_uri(self.filesystem, self.folder)!r}; list the folder in input.allow to read it"
        )


def _file(
    task: FileScanTask,
    table: Table | StaticTable,
    schema: Schema,
    places: _Places,
    deleted: dict[str, RowSet],
) -> LoggedFile:
    """Return a file of a snapshot."""
    file = task.file
    if file.file_format.name != "PARQUET" or file.key_metadata:
        kind = "encrypted" if file.key_metadata else file.file_format.name
        raise ConfigError(f"input.path: {file.file_path!r} is {kind}; of Iceberg tables plain Parquet files are read")
    path, name = places.locate(file.file_path)
    constants = tuple(_constants(file, table, schema).items())
    found = LoggedFile(path, name, file.file_size_in_bytes, str(file.record_count), constants=constants)
    return found.without_rows(deleted.get(file.file_path, RowSet.none()))


def _constants(file: DataFile, table: Table | StaticTable, schema: Schema) -> dict[str, Any]:
    """Return the values of columns that the file may lack: of identity partitions, and the columns' first defaults."""
    names = {field.field_id: field.name for field in schema.fields}
    values = {
        field.name: field.initial_default
        for field in schema.fields
        if getattr(field, "initial_default", None) is not None
    }
    for index, field in enumerate(table.specs()[file.spec_id].fields):
        if str(field.transform) == "identity" and field.source_id in names:
            values[names[field.source_id]] = file.partition[index]
    return values


def _deleted_rows(tasks: list[FileScanTask], filesystem: AbstractFileSystem, places: _Places) -> dict[str, RowSet]:
    """Return the rows of each file that positional deletes mark."""
    found: dict[tuple[str, str], RowSet] = {}
    for uri, file in sorted({file.file_path: file for task in tasks for file in task.delete_files}.items()):
        if file.content.name != "POSITION_DELETES" or file.file_format.name != "PARQUET":
            kind = file.content.name.lower().replace("_", " ")
            raise ConfigError(
                f"input.path: {uri!r} holds {kind} in {file.file_format.name}; of Iceberg tables positional deletes in "
                "Parquet are read: rewrite the table's data files, which applies the deletes"
            )
        arrow = arrow_filesystem(filesystem)
        table = guarded_table(places.locate(uri)[0], arrow, ["file_path", "pos"], key="input.path")
        for path in pc.unique(table["file_path"]).to_pylist():
            found[uri, path] = RowSet.of(table.filter(pc.equal(table["file_path"], path))["pos"].to_numpy())
    none = RowSet.none()
    return {
        path: RowSet.union(found.get((file.file_path, path), none) for file in task.delete_files)
        for path, task in ((task.file.file_path, task) for task in tasks)
    }
