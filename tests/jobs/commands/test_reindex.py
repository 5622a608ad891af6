"""`vilt reindex` and `vilt history` as a scheduler runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from jobs.commands.history import read_history
from jobs.commands.reindex import reindex_file
from jobs.console.command import run_command
from pipeline.config.storage import StorageConfig
from pipeline.reindexing.table_folder import open_folder

pytestmark = pytest.mark.usefixtures("ray_cluster")
Print = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]) -> str:
    rows = scene_rows(14)
    rows[1]["image"] = b"x"
    values = {
        "task": "score",
        "input": {"path": write_table(rows, 2), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out")},
        "precision": "float32",
        "max_error_rate": 1,
    }
    (tmp_path / "reindex.yaml").write_text(yaml.safe_dump(values))
    return str(tmp_path / "reindex.yaml")


def run_reindex(config: str, overrides: Sequence[str] = (), as_json: bool = False, back_to: str | None = None) -> int:
    return run_command(lambda: reindex_file(config, overrides, back_to=back_to), as_json=as_json)


def print_history(out: str, as_json: bool = False) -> int:
    return run_command(lambda: read_history(out), as_json=as_json)


def test_runs_history_and_rollback(config: str, tmp_path: Path, capsys: Print) -> None:
    out = str(tmp_path / "out")
    assert run_reindex(config, []) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "files       2: 2 new, 0 changed, 0 gone\nread        14 rows\nrejected    1\n        1  image_un"
    )
    assert text.endswith(f"output      {out}, version 0\n")
    assert run_reindex(config, []) == 0
    assert (
        capsys.readouterr().out
        == f"nothing to do: version 0 of {out} has the 14 rows of the input, 1 of them without a result\n"
    )
    (tmp_path / "table" / "001.parquet").unlink()
    done = one_line(run_reindex(config, [], as_json=True), capsys)
    wanted = {"status": "done", "exit_code": 0, "version": 1, "files_gone": 1, "rows_read": 0, "rows_left": 7}
    assert wanted.items() <= done.items()
    idle = one_line(run_reindex(config, [], as_json=True), capsys)
    assert (idle["status"], idle["version"], idle["rows_in"], idle["rows_out"], idle["files"]) == (
        "nothing_to_do",
        1,
        7,
        7,
        1,
    )
    of_a_run = ("files_new", "files_changed", "files_gone", "rows_read", "rows_moved", "rows_left", "seconds")
    assert {name: idle[name] for name in (*of_a_run, "rejected")} == {**dict.fromkeys(of_a_run, 0), "rejected": {}}

    assert print_history(out) == 0
    entries = capsys.readouterr().out.split("\n\n")
    assert [entry.split("  ")[0] for entry in entries] == ["version 1", "version 0"]
    assert "  rows      14 read, 0 moved, 0 left; rejected: 1 image_unsupported\n" in entries[1]
    assert "  model     zoo://scenes, weights " in entries[1]
    assert print_history(out, as_json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["rows_out"] for line in lines] == [7, 14]
    assert set(lines[1]["versions"]) >= {"torch", "ray", "python"}

    assert run_reindex(config, [], back_to="previous") == 0
    assert capsys.readouterr().out == f"version 2 of {out} is version 0 again: 14 rows\n"
    assert DeltaTable(out).to_pyarrow_table().num_rows == 14
    assert one_line(run_reindex(config, [], back_to="1", as_json=True), capsys)["restored"] == 1
    assert DeltaTable(out).to_pyarrow_table().num_rows == 7


def one_line(code: int, capsys: Print) -> dict[str, Any]:
    """The exit code is that of the one line of JSON on stdout."""
    [line] = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert summary["exit_code"] == code
    return summary


@pytest.mark.parametrize(
    ("overrides", "back_to", "line"),
    [
        (
            ["output.format=parquet"],
            None,
            "output.format: 'parquet', but reindex keeps a Delta table: leave the key out",
        ),
        (["input.path=/nowhere"], None, "input.path: '/nowhere' does not exist"),
        (["output.retention_days=-1"], None, "output.retention_days: -1 is wrong"),
        (["task=rank"], None, "output.format: 'delta', but rank writes two tables of Parquet files"),
        (["output.path=/proc/none"], None, "output.path: cannot use '/proc/none'"),
        ([], "last", "--rollback: 'last' is no version: give a number of `vilt history`, or previous"),
        ([], "previous", "has no earlier version"),
        ([], "7", "--rollback: 7 is no version of"),
    ],
)
def test_bad_input_is_code_2(config: str, overrides: list[str], back_to: str | None, line: str, capsys: Print) -> None:
    code = run_reindex(config, overrides, back_to=back_to, as_json=True)
    told = capsys.readouterr()
    assert code == 2
    assert told.err.count("\n") == 1
    assert line in told.err
    assert json.loads(told.out) == {"status": "bad_config", "exit_code": 2, "error": told.err.rstrip("\n")}


def test_too_many_errors_is_code_3_and_busy_code_4(config: str, tmp_path: Path, capsys: Print) -> None:
    with open_folder(str(tmp_path / "out"), StorageConfig()):
        assert one_line(run_reindex(config, [], as_json=True), capsys)["status"] == "busy"
    table = tmp_path / "table"
    for copy in range(150):
        (table / f"c{copy}.parquet").write_bytes((table / "000.parquet").read_bytes())
    done = one_line(run_reindex(config, ["max_error_rate=0.01"], as_json=True), capsys)
    assert (done["status"], done["exit_code"]) == ("too_many_errors", 3)
    assert not DeltaTable.is_deltatable(str(tmp_path / "out"))


def test_history_of_something_else(tmp_path: Path, capsys: Print) -> None:
    assert print_history(str(tmp_path)) == 2
    assert "holds no table of results that vilt reindex keeps" in capsys.readouterr().err
