"""`vilt history`: what each run did to a Delta table of results."""

from __future__ import annotations

from jobs.console.command import Outcome
from jobs.reports.commits import commit_values, history_table
from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.results.delta.table import ResultTable


def read_history(uri: str) -> Outcome:
    """Read the versions of a table, the latest first.

    Raises:
        ConfigError: If there is no table of results.
    """
    commits = ResultTable(uri, StorageConfig(), "OUT").commits()
    if not commits:
        raise ConfigError(f"OUT: {uri!r} holds no table of results that vilt reindex keeps")
    return Outcome(history_table(commits), [commit_values(commit) for commit in commits])
