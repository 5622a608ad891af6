"""What a commit says of itself in the log, and what is read back."""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline.results.delta.commit import KEY, Commit

COMMIT = Commit(
    token="t",
    identity={"model": "m"},
    counts={"rows_in": 10, "rows_out": 9},
    rejected={"image_null": 2},
    lineage={"vilt.task": "score,answer", "vilt.model": "zoo://scenes"},
    seconds=1.5,
    input={"path": "in/"},
    standing={"image_null": 2, "text_null": 1},
    command="vilt reindex score.yaml",
    config={"model": "zoo://scenes"},
    restored=3,
)


def entry(commit: Commit) -> dict[str, object]:
    """An entry of the log, as deltalake's history gives it."""
    properties = commit.properties()
    assert properties.max_commit_retries == 0
    return {"version": 7, "timestamp": 2_000, "operation": "WRITE", **properties.custom_metadata}


def test_a_commit_is_read_as_it_was_written() -> None:
    found = Commit.from_log(entry(COMMIT))
    assert found == COMMIT
    assert found is not None
    assert (found.version, found.at) == (7, 2.0)
    stored = json.loads(str(entry(replace(COMMIT, version=5, at=1.0))[KEY]))
    assert {"version", "at"}.isdisjoint(stored), "the log itself says these"


def test_commits_of_other_programs_and_of_other_releases() -> None:
    assert Commit.from_log({"version": 1, "timestamp": 0, "operation": "WRITE"}) is None
    values = json.loads(str(entry(COMMIT)[KEY]))
    del values["standing"], values["restored"], values["command"], values["config"]
    found = Commit.from_log({"version": 1, "timestamp": 0, KEY: json.dumps({**values, "later": True})})
    assert found == replace(COMMIT, standing={}, restored=None, command="", config={})


def test_the_summary_is_of_all_rows_of_the_table() -> None:
    summary = replace(COMMIT, version=4, at=5.0).summary("s3://b/out")
    assert (summary["command"], summary["config"], summary["finished_at"]) == (COMMIT.command, COMMIT.config, 5.0)
    assert summary["tasks"] == ["score", "answer"]
    assert (summary["rows_in"], summary["rows_out"], summary["pairs"], summary["scored"]) == (10, 9, 9, 6)
    assert (summary["rejected"], summary["files"], summary["output"]) == (COMMIT.standing, ["version 4"], "s3://b/out")
