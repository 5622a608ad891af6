"""Section `output`, alone and with the tasks and the input of a job."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.config.output import OutputConfig


def job(task: str = "score", **output: Any) -> JobConfig:
    more = {"texts": {"path": "t"}} if task == "rank" else {}
    values = {"input": {"path": "s3://b/in"}, "model": "m", "output": {"path": "out/", **output}, **more}
    return JobConfig.parse(None, {"task": task, **values})


def test_defaults() -> None:
    output = OutputConfig.checked({"path": "out/"})
    assert (output.format, output.overwrite, output.keep_image, output.report) == ("parquet", False, False, True)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            {"format": "csv"},
            "output.format: 'csv' is wrong; input should be 'parquet', 'delta', 'webdataset' or 'lance'",
        ),
        ({"rows_per_file": 0}, "output.rows_per_file: 0 is wrong; input should be greater than or equal to 1"),
        (
            {"retention_days": -1, "format": "delta"},
            "output.retention_days: -1 is wrong; input should be greater than or equal to 0",
        ),
        ({"retention_days": 1}, "output.retention_days: earlier versions are kept with output.format=delta only"),
        (
            {"retry_errors": 1},
            "output.retry_errors: counted in Delta tables only; leave it out, and use "
            "--retry-errors, or set output.format=delta",
        ),
        (
            {"rows_per_file": 5, "keep_image": True},
            "output.rows_per_file: 5, but with output.keep_image bytes decide when a file is written: leave one out",
        ),
        (
            {"member": "score.json"},
            "output.member: names a member of tars, and is for output.format=webdataset only",
        ),
        (
            {"format": "webdataset", "member": "Score.json"},
            "output.member: 'Score.json' is no end of a JSON member's name; write json, or lower-case letters, digits, "
            "_ and - before .json, as in score.json",
        ),
        *(
            (
                {"format": "webdataset", key: value},
                f"output.{key}: is for output.format=parquet; results in tars have the samples, pictures and files of "
                "the input: leave it out",
            )
            for key, value in (("join", True), ("keep_image", True), ("file_bytes", 1))
        ),
        (
            {"path": "s3://b/in/"},
            "output.path: 's3://b/in/' is in the input's folder 's3://b/in', where the next run "
            "would read it: choose another",
        ),
        (
            {"path": "s3://b/in/x"},
            "output.path: 's3://b/in/x' is in the input's folder 's3://b/in', where the next "
            "run would read it: choose another",
        ),
    ],
)
def test_sections_that_are_wrong(output: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        job(**output)
    assert str(caught.value) == f"config: {message}"


def test_sections_that_are_right() -> None:
    assert job(path="s3://b/in-scores").output.path == "s3://b/in-scores"
    assert job(format="delta", retention_days=0.5, retry_errors=0).output.retention_days == 0.5


def test_rank_writes_no_delta_table() -> None:
    with pytest.raises(ConfigError, match=r"output\.format: 'delta', but rank writes two tables of Parquet files: use"):
        job("rank", format="delta")
