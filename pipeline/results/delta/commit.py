"""Encode a commit of ours in the log of a Delta Lake table, and read it back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from deltalake.transaction import CommitProperties

from vilt.common.json_text import read_json

KEY = "vilt.commit"
FROM_LOG = ("version", "at")  # known from the log itself


@dataclass(frozen=True)
class Commit:
    """A commit, as the log keeps it.

    Attributes:
        token: Name of the folder with the run's data files.
        identity: Hashes of what decides the results: the model, the config, the columns that are written.
        counts: Files and rows, by what became of them.
        rejected: Reason -> rows that this run read and that have no result.
        standing: Reason -> rows of the whole table without a result.
        texts_truncated: Rows of the whole table of whose text the model read the beginning alone.
        lineage: How the results were made, as in the footers of the files.
        seconds: How long the run took.
        input: The section `input` of the config.
        command: The command of the run, without secrets; "" if it is not known.
        config: The keys of the config that are set, without secrets.
        input_version: The version of the input, in words; "" if its format has none.
        restored: The version that this one is again, if it is one.
        version: Number of the commit in the log.
        at: When it was committed, in seconds since 1970.
    """

    token: str
    identity: dict[str, str]
    counts: dict[str, int]
    rejected: dict[str, int]
    lineage: dict[str, str]
    seconds: float
    input: dict[str, Any]
    standing: dict[str, int] = field(default_factory=dict)
    texts_truncated: int = 0
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    input_version: str = ""
    restored: int | None = None
    version: int = field(default=-1, compare=False)
    at: float = field(default=0.0, compare=False)

    @classmethod
    def from_log(cls, entry: dict[str, Any]) -> Commit | None:
        """Return the commit that an entry of the log tells of; None if another program made it."""
        if KEY not in entry:
            return None
        values = read_json(entry[KEY])
        known = {one.name for one in fields(cls)}
        return cls(
            **{name: value for name, value in values.items() if name in known},
            version=entry["version"],
            at=entry["timestamp"] / 1000,
        )

    def properties(self) -> CommitProperties:
        """Return what the log is to hold.

        A commit that another program makes at the same time is not merged with: it may have removed our files.
        """
        values = {name: value for name, value in asdict(self).items() if name not in FROM_LOG}
        return CommitProperties(custom_metadata={KEY: json.dumps(values)}, max_commit_retries=0)

    def summary(self, uri: str) -> dict[str, Any]:
        """Return what `_summary.json` says of all rows of the table, as far as a commit knows it."""
        rows = self.counts["rows_out"]
        return {
            "tasks": self.lineage["vilt.task"].split(","),
            "output": uri,
            "rows_in": self.counts["rows_in"],
            "rows_out": rows,
            "pairs": rows,
            "scored": rows - sum(self.standing.values()),
            "rejected": self.standing,
            "texts_truncated": self.texts_truncated,
            "files": [f"version {self.version}"],
            "seconds": self.seconds,
            "lineage": self.lineage,
            "identity": self.identity,
            "input": self.input,
            "command": self.command,
            "config": self.config,
            "finished_at": self.at,
        }
