"""The change data feed of a Delta table: which rows were added, changed or deleted between two of its versions."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.common.parsers import without_panics
from pipeline.common.row_ids import ids_of
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import open_fsspec, storage_errors
from pipeline.storage.object_store import delta_options
from pipeline.tables.formats.delta.checks import check_changes, check_checkpoint
from pipeline.tables.schemas import plain

KEY = "delta.enableChangeDataFeed"
OPERATIONS = {  # that write a feed, or change no row; after others, as RESTORE, rows are compared by their content
    "ADD COLUMN",
    "ADD COLUMNS",
    "DELETE",
    "MERGE",
    "OPTIMIZE",
    "SET TBLPROPERTIES",
    "STREAMING UPDATE",
    "UPDATE",
    "VACUUM END",
    "VACUUM START",
    "WRITE",
}
FEATURES = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}  # with others, what the feed holds is not relied on


def changed_ids(
    uri: str, storage: StorageConfig, since: int, until: int, id_column: str, columns: Sequence[str]
) -> pa.ChunkedArray | None:
    """Return the ids of the rows that were added, changed or deleted after one version, up to another.

    Args:
        uri: The table's folder.
        storage: How to reach it.
        since: The version before.
        until: The last version.
        id_column: The column of ids.
        columns: The columns whose values count.

    Returns:
        The ids; None if the table has no feed of all these versions, or its columns were others.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    uri, options = uri.replace("s3a://", "s3://"), delta_options(uri, storage)
    try:
        filesystem, folder = open_fsspec(uri, "input.path", storage)
        for version in (since, until):
            check_checkpoint(filesystem, folder, "input.path", version)
        before = DeltaTable(uri, version=since, storage_options=options)
        now = DeltaTable(uri, version=until, storage_options=options)
        kinds = [{field.name: field.type for field in pa.schema(one.schema().to_arrow())} for one in (before, now)]
        if (
            any(set(one.protocol().reader_features or ()) - FEATURES for one in (before, now))
            or any(one.metadata().configuration.get(KEY) != "true" for one in (before, now))
            or any("delta.columnMapping.mode" in one.metadata().configuration for one in (before, now))
            or any(kinds[0].get(name) != kinds[1].get(name) for name in columns)
        ):
            return None
        done = {entry["version"]: entry["operation"] for entry in now.history()}
        if any(done.get(version) not in OPERATIONS for version in range(since + 1, until + 1)):
            return None
        check_changes(filesystem, folder, since, until, [id_column, "_change_type"], "input.path")
        with without_panics(uri):
            feed = now.load_cdf(starting_version=since + 1, ending_version=until, columns=[id_column])
            found = pa.table(feed.read_all())[id_column]
    except (*storage_errors(), DeltaError, ValueError, KeyError, pa.ArrowException):
        return None  # versions without a feed, or whose files are gone
    return ids_of(found.cast(plain(found.type)))
