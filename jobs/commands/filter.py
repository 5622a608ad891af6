"""`vilt filter`: the good rows of a table, as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from jobs.console.command import NOTHING_TO_DO, Outcome
from jobs.console.exit_codes import DONE
from jobs.reports.summary import filter_summary_table, filter_values
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table


def filter_file(path: str, overrides: Sequence[str] = ()) -> Outcome:
    """Run the filter that a YAML file describes.

    Raises:
        ConfigError: Before anything starts.
        BusyError: If another run is at work on the output.
        StorageFailedError, RowsLostError: Before anything is published.
    """
    started = time.monotonic()
    config = FilterConfig.load(path, overrides)
    summary = filter_table(config)
    status = NOTHING_TO_DO if summary.finished_before else DONE.status
    seconds = time.monotonic() - started
    return Outcome(filter_summary_table(summary, seconds), filter_values(summary, seconds), status)
