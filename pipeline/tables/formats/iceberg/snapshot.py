"""One snapshot of an Iceberg table, as its metadata says it: its files, its columns, and the rows that are deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import DataScan, StaticTable, Table
from pyiceberg.table.snapshots import Snapshot

from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.common.row_ranges import RowSet
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import arrow_filesystem, full_uri, in_threads, open_fsspec
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.formats.iceberg.errors import SCHEME, refused
from pipeline.tables.formats.iceberg.metadata_files import load_table, open_metadata
from pipeline.tables.formats.logged.apart import run_apart
from pipeline.tables.formats.logged.files import LoggedFile
from pipeline.tables.formats.logged.format import in_order
from pipeline.tables.input_file import InputFile
from pipeline.tables.schemas import is_list

LARGE = 20_000  # files, from which on a process of its own reads a snapshot: pyiceberg has 4 kB for each
FILES = "total-data-files"  # of a snapshot's summary
MANIFESTS_AT_ONCE = 4  # that are held as objects
Planned = Iterable[tuple[DataFile, Collection[DataFile]]]  # files, each with the files that delete rows of it


@dataclass(frozen=True)
class IcebergSnapshot:
    """One snapshot of a table.

    Attributes:
        version: The snapshot, in words.
        location: The URI of the table's folder.
        files: Its files, one at least.
        columns: Its columns.
        names: (field id, names in files without ids) of the table's name mapping.
    """

    version: str
    location: str
    files: Sequence[InputFile]
    columns: pa.Schema
    names: tuple[tuple[str, tuple[str, ...]], ...]


def read_snapshot(uri: str, spec: InputConfig, storage: StorageConfig) -> IcebergSnapshot:
    """Read the snapshot that a config names; one of very many files in a process that ends.

    Args:
        uri: iceberg://catalog/namespace.table, or a metadata file.
        spec: The section `input`.
        storage: How to reach it.

    Raises:
        ConfigError: There is no such snapshot, or it has no file, or one that is not read.
    """
    table = _open(uri, spec, storage)
    snapshot = _snapshot(table, spec)
    if _file_count(snapshot) < LARGE:
        return _read(table, snapshot, spec, storage)
    del table
    return run_apart(_read_here, uri, spec, storage, subject=f"the Iceberg table {uri!r}")


def _read_here(uri: str, spec: InputConfig, storage: StorageConfig) -> IcebergSnapshot:
    with refused(uri):
        table = _open(uri, spec, storage)
        snapshot = _snapshot(table, spec)
        manifests = snapshot.manifests(table.io)
        plain = all(manifest.content == ManifestContent.DATA for manifest in manifests)
        return _read(table, snapshot, spec, storage, _files_of(manifests, table) if plain else None)


def _files_of(manifests: Sequence[ManifestFile], table: Table | StaticTable) -> Planned:
    """Yield the files of manifests as pyiceberg plans them, but no more than some manifests' at a time."""

    def live(manifest: ManifestFile) -> list[DataFile]:
        return [entry.data_file for entry in manifest.fetch_manifest_entry(table.io)]

    for begin in range(0, len(manifests), MANIFESTS_AT_ONCE):
        for files in in_threads(live, manifests[begin : begin + MANIFESTS_AT_ONCE], MANIFESTS_AT_ONCE):
            yield from ((file, ()) for file in files if file.record_count)  # pyiceberg leaves out empty ones


def _planned(scan: DataScan) -> Iterator[tuple[DataFile, Collection[DataFile]]]:
    yield from ((task.file, task.delete_files) for task in scan.plan_files())


def _open(uri: str, spec: InputConfig, storage: StorageConfig) -> Table | StaticTable:
    if uri.startswith(SCHEME):
        catalog, _, table = uri.removeprefix(SCHEME).partition("/")
        return load_table(catalog, table)
    return open_metadata(uri, spec, storage)


def _file_count(snapshot: Snapshot) -> int:
    """Return how many files a snapshot has, by what its summary says; 0 if it does not say it."""
    said: Mapping[str, str] = snapshot.summary.additional_properties if snapshot.summary else {}
    return int(said[FILES]) if said.get(FILES, "").isdecimal() else 0


def _read(
    table: Table | StaticTable,
    snapshot: Snapshot,
    spec: InputConfig,
    storage: StorageConfig,
    planned: Planned | None = None,
) -> IcebergSnapshot:
    """Return a snapshot; planned: its files, by default as pyiceberg plans them, all at once."""
    earlier = spec.version is not None or spec.as_of is not None  # with the columns that it had then
    scan = table.scan(snapshot_id=snapshot.snapshot_id) if earlier else table.scan()
    location = table.location().rstrip("/")
    filesystem, folder = open_fsspec(location, "input.path", storage)
    places = _Places(filesystem, folder.rstrip("/"), spec)
    schema = scan.projection()
    files: list[LoggedFile] = []
    deletes: dict[int, tuple[str, Collection[DataFile]]] = {}  # number of a file -> its URI, what deletes rows of it
    for number, (file, deleting) in enumerate(_planned(scan) if planned is None else planned):
        files.append(_file(file, table, schema, places))
        if deleting:
            deletes[number] = file.file_path, deleting
    if not files:
        raise ConfigError(f"input.path: snapshot {snapshot.snapshot_id} of {spec.path!r} has no file, and so no rows")
    deleted = _deleted_rows(dict(deletes.values()), filesystem, places)
    for number, (uri, _) in deletes.items():
        files[number] = files[number].without_rows(deleted[uri])
    mapping = table.name_mapping()
    names = [(str(one.field_id), tuple(one.names)) for one in mapping.root if one.field_id] if mapping else []
    columns = _arrow_schema(schema)
    return IcebergSnapshot(
        f"snapshot {snapshot.snapshot_id}", location, in_order(places.folder, files), columns, tuple(names)
    )


def _snapshot(table: Table | StaticTable, spec: InputConfig) -> Snapshot:
    """Return the snapshot that a config names."""
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
    return found


def _arrow_schema(schema: Schema) -> pa.Schema:
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


def _file(file: DataFile, table: Table | StaticTable, schema: Schema, places: _Places) -> LoggedFile:
    """Return a file of a snapshot, with the rows that are deleted."""
    if file.file_format.name != "PARQUET" or file.key_metadata:
        kind = "encrypted" if file.key_metadata else file.file_format.name
        raise ConfigError(f"input.path: {file.file_path!r} is {kind}; of Iceberg tables plain Parquet files are read")
    path, name = places.locate(file.file_path)
    constants = tuple(_constants(file, table, schema).items())
    return LoggedFile(path, name, file.file_size_in_bytes, str(file.record_count), constants=constants)


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


def _deleted_rows(
    deletes: Mapping[str, Collection[DataFile]], filesystem: AbstractFileSystem, places: _Places
) -> dict[str, RowSet]:
    """Return the rows of each file, by its URI, that positional deletes mark."""
    found: dict[tuple[str, str], RowSet] = {}
    for uri, file in sorted({file.file_path: file for files in deletes.values() for file in files}.items()):
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
        path: RowSet.union(found.get((file.file_path, path), none) for file in files) for path, files in deletes.items()
    }
