"""Results of which rows may lie in one table."""

import pytest

from pipeline import JobConfig
from pipeline.results import results_version
from pipeline.results.results_version import written_sha256


def of(precision: str) -> str:
    values = {"input": {"path": "in"}, "model": "m", "output": {"path": "out"}, "precision": precision}
    return written_sha256(JobConfig.parse("score", values))


def test_another_rule_of_int8_makes_the_tables_in_int8_anew_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {precision: of(precision) for precision in ("float32", "bfloat16", "int8")}
    monkeypatch.setattr(results_version, "INT8_VERSION", 1000)
    assert [precision for precision, value in before.items() if of(precision) != value] == ["int8"]
