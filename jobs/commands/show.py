"""`vilt show`: the first look at the output of a finished job, in a terminal."""

from __future__ import annotations

from jobs.console.command import Outcome
from jobs.reports.overview import overview_table, overview_values
from pipeline.config.storage import StorageConfig
from pipeline.reporting.overview import look_at
from pipeline.storage.failures import as_storage_failure


def show_output(uri: str, rows: int) -> Outcome:
    """Read an output and lay it out.

    Nothing but the output itself is opened, whatever its summary names.

    Args:
        uri: The output folder.
        rows: How many of its first rows to show.

    Raises:
        ConfigError: If there is no output of a finished job.
        StorageFailedError: If the storage fails.
    """
    with as_storage_failure():
        view = look_at(uri, StorageConfig())
        return Outcome(overview_table(view, rows), overview_values(view))
