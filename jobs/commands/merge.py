"""`vilt merge`: the outputs of all shards of a job become one result."""

from __future__ import annotations

from dataclasses import replace

from jobs.commands.batch import outcome_of
from jobs.console.command import Outcome
from jobs.console.tables import lines, stacked
from pipeline.config.storage import StorageConfig
from pipeline.results.shards.merging import merge


def merge_output(uri: str) -> Outcome:
    """Audit the shards of an output, write one summary and one report.

    Args:
        uri: The folder that the shards' configs name in `output.path`.

    Raises:
        ConfigError: Shards are missing, not finished, or not of one job over one table.
        BusyError: Another merge, or a shard, is at work.
        RowsLostError: Rows are missing or doubled.
    """
    summary = merge(uri, StorageConfig())
    from pipeline.reporting.page import report_of_output

    report_of_output(uri)
    outcome = outcome_of(summary)
    where = f"the files stay in the shards' folders: programs read {uri.rstrip('/')}/*/*.parquet"
    return replace(outcome, text=stacked([outcome.text, lines(where)]))
