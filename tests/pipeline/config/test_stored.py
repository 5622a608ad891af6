"""A config as summaries and reports hold it: what is set, and nothing secret."""

from __future__ import annotations

import json

import yaml

from pipeline.config.filter import FilterConfig
from pipeline.config.job import JobConfig

STORAGE = {"endpoint_url": "https://u:hunter2@host/", "key": "AKIAKEY", "secret": "hunter2", "token": "hunter2"}


def test_a_job() -> None:
    values = {
        "input": {"path": "https://host/t.parquet?sig=hunter2", "allow": ["s3://b/"], "id": "id"},
        "model": "s3://u:hunter2@b/model",
        "output": {"path": "out/"},
        "storage": STORAGE,
        "decode": "exact",
    }
    stored = JobConfig.parse("score", values).stored()
    assert stored["input"] == {"path": "https://host/t.parquet?sig=***", "allow": ["s3://b/"], "id": "id"}
    assert (stored["model"], stored["output"], stored["tasks"]) == ("s3://b/model", {"path": "out/"}, ["score"])
    assert stored["storage"]["endpoint_url"] == "https://host/"
    assert "decode" not in stored, "what is the default"
    assert "hunter2" not in json.dumps(stored)
    assert "AKIA" not in json.dumps(stored)
    assert yaml.safe_load(yaml.safe_dump(stored)) == stored


def test_a_filter() -> None:
    values = {
        "input": {"path": "t/", "id": "id"},
        "run": {"task": "score", "model": "s3://u:hunter2@b/model"},
        "keep": {"where": "length(caption) > 3 AND source <> 'https://u:hunter2@h/'"},
        "output": {"path": "out/"},
        "storage": STORAGE,
    }
    stored = FilterConfig.checked(values).stored()
    assert stored["run"] == {"task": "score", "model": "s3://b/model"}
    assert stored["keep"] == {"where": "length(caption) > 3 AND source <> 'https://h/'"}
    assert "hunter2" not in json.dumps(stored)
