"""The command as summaries and reports show it: one that can be repeated, without what is secret."""

from __future__ import annotations

import contextvars

import pytest

from pipeline.common.invocation import LONGEST_COMMAND, command, set_command, shown_command


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["vilt", "score", "a b.yaml", "output.path=out"], "vilt score 'a b.yaml' output.path=out"),
        (["storage.secret=hunter2"], "'storage.secret=***'"),
        (["storage.key={env: KEY}"], "'storage.key={env: KEY}'"),
        (["storage.secret=${SECRET}"], "'storage.secret=${SECRET}'"),
        (["storage={key: a, secret: hunter2}"], "'storage=***'"),
        (["run={storage: {secret: hunter2}}"], "'run=***'"),
        (["input.path=https://u:hunter2@host/t?sig=hunter2"], "'input.path=https://host/t?sig=***'"),
        (["--allow", "s3://u:hunter2@b/t"], "--allow s3://b/t"),
        (["https://host/t?x=1&token=hunter2"], "'https://host/t?x=1&token=***'"),
    ],
)
def test_shown(words: list[str], shown: str) -> None:
    assert shown_command(words) == shown


def test_a_long_one_is_cut() -> None:
    assert len(shown_command(["vilt", "x" * 10_000])) == LONGEST_COMMAND + 3


def test_of_this_process() -> None:
    def run() -> str:
        set_command(["vilt", "score", "storage.token=hunter2"])
        return command()

    assert contextvars.copy_context().run(run) == "vilt score 'storage.token=***'"
    assert command() == "", "nobody else's"
