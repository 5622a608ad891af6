"""Read the column `row_source` of a table of results: which version of which file of the input each row is from."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ROW_SOURCE


class FileVersion(NamedTuple):
    """A file of the input as it once was.

    Attributes:
        name: Its path below the table's folder.
        version: Its etag or time of change, and its size: another one once the file has changed.
    """

    name: str
    version: str

    @property
    def key(self) -> str:
        """Return the file version as one string."""
        return "\0".join(self)


def version_keys(table: pa.Table) -> pa.Array:
    """Return string (rows,): the `FileVersion.key` of each row."""
    source = table[ROW_SOURCE].combine_chunks()
    return pc.binary_join_element_wise(source.field("file"), source.field("edition"), "\0")


def is_from(table: pa.Table, versions: Collection[FileVersion]) -> pa.Array:
    """Return bool (rows,): which rows come from one of these file versions."""
    return pc.is_in(version_keys(table), pa.array([version.key for version in versions], pa.string()))
