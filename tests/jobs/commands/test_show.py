"""`vilt show` as a person runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app


def test_an_output(outputs: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(outputs / "scores"), "--rows", "3"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{outputs / 'scores'}: score\nrows in       30\n")
    assert "\x1b" not in done.stdout
    done = CliRunner().invoke(app, ["show", str(outputs / "answers"), "--json"])
    values = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (values["status"], values["exit_code"], values["rows_in"], values["tasks"]) == ("done", 0, 30, ["answer"])


@pytest.mark.usefixtures("ray_cluster")
def test_the_output_of_a_rank_job(
    tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]
) -> None:
    """The folder that `vilt rank` prints is the one that show and report take."""
    rows = scene_rows(6)
    values = {
        "input": {"path": write_table(rows), "id": "id"},
        "texts": {
            "path": write_table([{"caption": row["caption"]} for row in rows[:3]], name="texts"),
            "text": "caption",
        },
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "ranked")},
    }
    (tmp_path / "rank.yaml").write_text(yaml.safe_dump(values))
    done = CliRunner().invoke(app, ["rank", str(tmp_path / "rank.yaml")])
    assert done.exit_code == 0, done.output
    out = done.stdout.splitlines()[-1].split()[1]
    assert out == str(tmp_path / "ranked")
    shown = CliRunner().invoke(app, ["show", out])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"{out}/images: rank\nrows in       6\n")
    assert "best_texts" in shown.stdout
    reported = CliRunner().invoke(app, ["report", out])
    assert (reported.exit_code, reported.stdout) == (0, f"{out}/_report.html\n")
    page = (tmp_path / "ranked" / "_report.html").read_text()
    assert "0% full" not in page
    assert "% of the most" not in page


def test_no_output_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for command in ("show", "report"):
        done = CliRunner().invoke(app, [command, str(tmp_path)])
        assert done.exit_code == 2
        assert done.stderr.startswith(f"OUT: {str(tmp_path)!r} holds no _summary.json")
        (tmp_path / "table.csv").write_text("id\n1\n")
        done = CliRunner().invoke(app, [command, str(tmp_path / "table.csv")])
        assert (done.exit_code, "is a file; name a folder of results" in done.stderr) == (2, True)
        assert done.stderr.count("\n") == 1
