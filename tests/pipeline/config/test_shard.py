"""`input.shard`: which values are shards, and which variable of a scheduler names one."""

from __future__ import annotations

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.config.filter import FilterConfig
from pipeline.config.shard import Shard, check_shard, resolve_shard

SLURM, KUBERNETES, BATCH = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"


@pytest.mark.parametrize("text", ["3", "a/4", "4/4", "-1/4", "1/0", "0/100001", "auto2/4", "auto/", "1/4/2", ""])
def test_values_that_are_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match=r"^input\.shard: "):
        check_shard(text)


def test_a_shard_names_its_folder() -> None:
    shard, variable = resolve_shard("3/1000", {SLURM: "7"})
    assert (shard, variable, shard.folder) == (Shard(3, 1000), "", "shard-00003-of-01000")


@pytest.mark.parametrize("name", [SLURM, KUBERNETES, BATCH])
def test_the_number_is_the_schedulers(name: str) -> None:
    assert resolve_shard("auto/10", {name: "9", "PATH": "/bin"}) == (Shard(9, 10), f"{name}=9")


def test_an_array_of_slurm_may_begin_at_1() -> None:
    assert resolve_shard("auto1/10", {SLURM: "10", "SLURM_ARRAY_TASK_MAX": "10"})[0] == Shard(9, 10)
    assert resolve_shard("auto1/10", {SLURM: "4", "SLURM_ARRAY_TASK_MAX": "4"})[0] == Shard(3, 10), "some again"


@pytest.mark.parametrize(
    ("text", "environment", "line"),
    [
        ("auto/10", {}, "none of SLURM_ARRAY_TASK_ID, .* is set"),
        ("auto/10", {SLURM: ""}, "none of"),
        ("auto/10", {SLURM: "10"}, "SLURM_ARRAY_TASK_ID is '10'; the array must be from 0 to 9, or write auto1/10"),
        ("auto/10", {SLURM: "3", "SLURM_ARRAY_TASK_MAX": "10"}, "of an array that ends at 10; .* write auto1/10"),
        ("auto1/10", {SLURM: "0"}, "the array must be from 1 to 10$"),
        ("auto1/10", {BATCH: "3"}, "AWS_BATCH_JOB_ARRAY_INDEX begins at 0: write auto/10"),
        ("auto/10", {KUBERNETES: "10"}, "the array must be from 0 to 9$"),
        ("auto/10", {KUBERNETES: "x"}, "'x', which is no number"),
        ("auto/10", {SLURM: "1", BATCH: "2"}, "SLURM_ARRAY_TASK_ID=1, AWS_BATCH_JOB_ARRAY_INDEX=2 are set"),
    ],
)
def test_no_shard_is_guessed(text: str, environment: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        resolve_shard(text, environment)


def values(**keys: object) -> dict[str, object]:
    return {"input": {"path": "t", "shard": "3/8"}, "model": "zoo://scenes", "output": {"path": "out"}, **keys}


def test_a_shard_does_not_make_it_another_job() -> None:
    one = JobConfig.parse("score", values())
    whole = JobConfig.parse("score", values(input={"path": "t"}))
    assert one.sha256 == whole.sha256


def test_what_cannot_be_divided_says_why() -> None:
    with pytest.raises(ConfigError, match=r"input\.shard: '8/8', but 8 shards are numbered from 0 to 7"):
        JobConfig.parse("score", values(input={"path": "t", "shard": "8/8"}))
    with pytest.raises(ConfigError, match=r"input\.shard: given with output\.format=delta"):
        JobConfig.parse("score", values(output={"path": "out", "format": "delta"}))
    with pytest.raises(ConfigError, match=r"input\.shard: given for rank"):
        JobConfig.parse("rank", values(texts={"path": "q"}))
    filtered = {**values(), "scores": "s", "keep": {"top": 0.5}}
    del filtered["model"]
    with pytest.raises(ConfigError, match=r"input\.shard: a filter decides about all rows together"):
        FilterConfig.checked(filtered)
