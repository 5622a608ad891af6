"""`vilt filter` as a person runs it."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app


@pytest.fixture
def config(outputs: Path, tmp_path: Path) -> str:
    values: dict[str, Any] = {
        "input": {"path": str(outputs / "table")},
        "scores": str(outputs / "scores"),
        "keep": {"top": 0.25, "by": "source"},
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "filter.yaml").write_text(yaml.safe_dump(values))
    return str(tmp_path / "filter.yaml")


def test_a_filter_from_a_file(config: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["filter", config])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("rows in     30\nkept        7 (23.3%)\nlowest      ")
    assert "dropped     23\n       21  not in the top 25% of its source\n" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_report.html",
        "_summary.json",
        "dropped",
        "kept",
    ]
    assert pq.read_table(tmp_path / "out" / "kept").num_rows == 7
    (tmp_path / "out" / "_report.html").unlink()
    again = CliRunner().invoke(app, ["filter", config])
    assert again.exit_code == 0
    assert (tmp_path / "out" / "_report.html").exists(), (
        "the key output.report has its effect on a finished filter, too"
    )
    assert again.stdout.startswith("nothing to do: these are the results of this config and input\nrows in     30\n")


def test_an_answer_is_a_condition(config: str, outputs: Path, tmp_path: Path) -> None:
    answers = pq.read_table(outputs / "answers")
    words = [f"scores={outputs / 'answers'}", "keep={answer: [yes, 2]}", "output.report=false"]
    done = CliRunner().invoke(app, ["filter", config, *words])
    assert done.exit_code == 0, done.output
    expected = {row["id"] for row in answers.to_pylist() if row["answer"] in ("yes", "2")}
    assert set(pq.read_table(tmp_path / "out" / "kept")["id"].to_pylist()) == expected
    assert not (tmp_path / "out" / "_report.html").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("keep.tpo=1", "keep.tpo: unknown key; did you mean 'top'"),
        ("keep.by=sorce", "keep.by: the table has no column 'sorce'; did you mean 'source'"),
        ("keep.where=scor > 1", "keep.where: 'scor > 1' is no condition on the results"),
        ("input.id=id", "input.id: 'id', but the scores in "),
    ],
)
def test_a_bad_config_is_one_line_and_exit_code_2(config: str, tmp_path: Path, override: str, message: str) -> None:
    done = CliRunner().invoke(app, ["filter", config, override])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))
