"""Iceberg tables as input: one snapshot of the table, as its metadata says it."""

from __future__ import annotations

import os
import re

from fsspec import AbstractFileSystem

from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri, open_fsspec
from pipeline.tables.format import Listing
from pipeline.tables.formats.iceberg.errors import SCHEME, refused
from pipeline.tables.formats.logged.columns import FIELD_ID, Matching
from pipeline.tables.formats.logged.files import LoggedFiles
from pipeline.tables.formats.logged.format import LoggedFormat, LoggedListing

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
            return self._listing(spec.path, spec, storage)
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
        return self._listing(uri if uris.scheme(uri) else os.path.abspath(uri), spec, storage)

    def _listing(self, uri: str, spec: InputConfig, storage: StorageConfig) -> Listing:
        with refused(uri):
            from pipeline.tables.formats.iceberg.snapshot import read_snapshot

            log = read_snapshot(uri, spec, storage)
        filesystem, folder = open_fsspec(log.location, "input.path", storage)
        files = log.files
        paths = files.paths() if isinstance(files, LoggedFiles) else [file.path for file in files]
        matching = Matching(FIELD_ID, FIELD_ID, log.names)
        return LoggedListing(
            filesystem, files, folder.rstrip("/"), self, paths, log.version, log.columns, matching, files_first=True
        )
