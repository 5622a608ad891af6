"""Table formats that are known and not read yet.

Their folders hold Parquet files, but which of these files are the table is written in a log beside them: read as plain
files they give rows that were overwritten or deleted long ago.
"""

from __future__ import annotations

import re

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.opened_table import OpenedTable


class UnreadableFormat(TableFormat):
    """A format that is recognised by its marker and refused."""

    def __init__(self, name: str, title: str, marker_folder: str, marker: str) -> None:
        self.name, self.title, self.marker_folder = name, title, marker_folder
        self.marker = re.compile(rf"(?:^|/){re.escape(marker_folder)}/{marker}")

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Refuse the table."""
        del filesystem, spec, storage
        raise ConfigError(
            f"input.path: {folder!r} is {self.title} ({self.marker_folder}/), which is not read yet: its log "
            "says which of its files are the table; export the rows to a folder of Parquet files and name that folder"
        )

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Do nothing: no table of this format is ever listed."""
        raise NotImplementedError(f"{self.name}: {listing.folder} {options}")


HUDI = UnreadableFormat("hudi", "a Hudi table", ".hoodie", r".")
