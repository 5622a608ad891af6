"""Delta tables as input: one version of the table, as its log says it."""

from __future__ import annotations

import re

from fsspec import AbstractFileSystem

from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri
from pipeline.tables.format import Listing
from pipeline.tables.formats.delta.log import is_large, read_log, read_log_apart
from pipeline.tables.formats.logged.columns import FIELD_ID, Matching
from pipeline.tables.formats.logged.files import LoggedFiles
from pipeline.tables.formats.logged.format import LoggedFormat, LoggedListing

MATCHING = {
    "none": Matching(),
    "name": Matching(b"delta.columnMapping.physicalName"),
    "id": Matching(b"delta.columnMapping.id", FIELD_ID),
}


class DeltaFormat(LoggedFormat):
    """A Delta table.

    The files that the log of the latest version lists, or of `input.version` or `input.timestamp`; partitions, renamed
    columns and deletion vectors as the log says them. Files outside of the table's folder, as shallow clones have them,
    are refused.
    """

    name = "delta"
    title = "a Delta table"
    marker_folder = "_delta_log"
    marker = re.compile(r"(?:^|/)_delta_log/.")

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the files of one version."""
        uri = full_uri(filesystem, folder)
        read = read_log_apart if is_large(filesystem, folder) else read_log
        log = read(uri, folder, spec, storage)
        files = log.files
        paths = files.paths() if isinstance(files, LoggedFiles) else [file.path for file in files]
        return LoggedListing(filesystem, files, folder, self, paths, log.version, log.columns, MATCHING[log.mode])
