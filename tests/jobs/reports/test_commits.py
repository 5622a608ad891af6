"""The versions of a Delta table, for a person and for programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.console.tables import to_text
from jobs.reports.commits import commit_table, commit_values, history_table
from pipeline.reindexing.reindex import Reindexed
from pipeline.results.delta.commit import Commit

COUNTS = {
    "files": 3, "files_new": 1, "files_changed": 1, "files_gone": 0, "rows_in": 1200, "rows_read": 400,
    "rows_retried": 0, "rows_moved": 30, "rows_left": 20, "rows_out": 1250,
}  # fmt: skip
LINEAGE = {
    "vilt.model": "zoo://scenes", "vilt.weights_sha256": "w" * 64, "vilt.config_sha256": "c" * 64,
    "vilt.task": "score", "vilt.versions": '{"torch": "2.6", "python": "3.11"}', "vilt.precision": "float32 on cpu",
}  # fmt: skip
STANDING = {"image_null": 2, "fetch_timeout": 1}
COMMIT = Commit("t", {}, COUNTS, {"image_null": 2}, LINEAGE, 12.34, {}, STANDING, version=7, at=86_400.0)


def lines(run: Reindexed) -> list[str]:
    return [" ".join(line.split()) for line in to_text(commit_table(run, "out/")).splitlines()]


def test_a_run_that_committed() -> None:
    found = lines(Reindexed(COMMIT, True, 5))
    assert found[:6] == [
        "files 3: 1 new, 1 changed, 0 gone",
        "read 400 rows",
        "moved 30 rows kept their results",
        "left 20 rows",
        "retried 5 rows, whose error was transient",
        "rejected 2",
    ]
    assert found[6].startswith("2 image_null: ")
    assert found[7:] == [
        "no result 3 rows of the table: 2 image_null, 1 fetch_timeout",
        "rows 1,250, of 1,200 rows of the input",
        "time 12.3 s until committed",
        "model zoo://scenes",
        "output out/, version 7",
    ]
    plain = replace(COMMIT, counts={**COUNTS, "rows_moved": 0, "rows_left": 0}, rejected={}, standing={})
    found = lines(Reindexed(plain, True, 0))
    assert not any(line.startswith(("moved", "left", "retried", "no result")) for line in found)


@pytest.mark.parametrize(
    ("retried", "standing", "line"),
    [
        (0, {}, "nothing to do: version 7 of out/ has the 1,200 rows of the input"),
        (
            4,
            {"a": 3},
            "4 rows were tried again and failed as before: version 7 of out/ has the 1,200 rows of the input, 3 of "
            "them "
            "without a result",
        ),
    ],
)
def test_a_run_with_nothing_to_do(retried: int, standing: dict[str, int], line: str) -> None:
    text = to_text(commit_table(Reindexed(replace(COMMIT, standing=standing), False, retried), "out/"))
    assert " ".join(text.split()) == line


def test_a_rollback() -> None:
    assert lines(Reindexed(replace(COMMIT, restored=3), True, 0)) == [
        "version 7 of out/ is version 3 again: 1,250 rows"
    ]


def test_the_history() -> None:
    commits = [COMMIT, replace(COMMIT, version=6, restored=2, rejected={}, lineage={**LINEAGE, "vilt.precision": ""})]
    found = [" ".join(line.split()) for line in to_text(history_table(commits)).splitlines()]
    assert found[0] == "version 7 1970-01-02T00:00:00Z 1,250 rows"
    assert found[1:6] == [
        "files 3: 1 new, 1 changed, 0 gone",
        "rows 400 read, 30 moved, 20 left; rejected: 2 image_null",
        f"model zoo://scenes, weights {'w' * 12}, float32 on cpu",
        f"config {'c' * 12}, score",
        "versions torch 2.6, python 3.11",
    ]
    assert "files 3: version 2 again" in found
    assert "rows 400 read, 30 moved, 20 left; rejected: none" in found
    assert f"model zoo://scenes, weights {'w' * 12}, nothing read" in found


def test_values() -> None:
    values = commit_values(COMMIT)
    assert (values["version"], values["committed_at"], values["restored"]) == (7, "1970-01-02T00:00:00Z", None)
    assert (values["rows_read"], values["rows_out"], values["seconds"], values["task"]) == (400, 1250, 12.34, "score")
    assert values["versions"] == {"torch": "2.6", "python": "3.11"}
    assert values["rejected"] == {"image_null": 2}
    json.dumps(values)
    idle = commit_values(COMMIT, new=False, retried=4)
    assert (idle["rows_read"], idle["files_new"], idle["rows_retried"], idle["seconds"]) == (0, 0, 4, 0.0)
    assert (idle["rows_in"], idle["rows_out"], idle["rejected"], idle["standing"]) == (1200, 1250, {}, COMMIT.standing)
