"""The pages of docs/reference are what the code says."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from docs import generate
from docs.column_meanings import COLUMNS
from jobs.console.exit_codes import EXIT_CODES
from pipeline import JobConfig, run
from pipeline.common.tasks import TASKS, added_columns
from tests.pipeline.scoring.in_process import run_in_process

FIX = "run `python -m docs.generate` and commit what it writes"


@pytest.mark.parametrize("name", generate.pages())
def test_a_committed_page_is_what_the_code_gives(name: str) -> None:
    assert (generate.FOLDER / name).read_text() == generate.pages()[name], FIX


def test_there_are_no_other_pages() -> None:
    assert {path.name for path in generate.FOLDER.iterdir()} == set(generate.pages())


def test_a_page_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "docs/reference/reasons.md is not what the code says: run" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "reasons.md").write_text("else")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_every_key_has_a_type_and_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|$", generate.configs(), re.MULTILINE)
    assert len(rows) > 60
    assert [name for name, kind, _, meaning in rows if not kind.strip() or not meaning.strip()] == []


def test_every_column_and_exit_code_is_described() -> None:
    assert set(COLUMNS) == set(added_columns(list(TASKS), negatives=True, versions=True))
    assert len({one.code for one in EXIT_CODES}) == len(EXIT_CODES)
    assert all(one.status and one.cause and one.action for one in EXIT_CODES)


def test_columns_have_the_types_that_the_page_says(
    tmp_path: Path, scene_rows: Any, write_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(monkeypatch)
    rows = [{**row, "caption": [f"{row['caption']} [MASK]", row["caption"]]} for row in scene_rows(4)]
    values = {
        "tasks": ["score", "answer", "fill", "embed"],
        "input": {"path": write_table(rows), "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out"), "report": False},
    }
    run(JobConfig.parse(None, values))
    schema = pq.read_schema(next((tmp_path / "out").glob("*.parquet")))
    names = set(added_columns(["score", "answer", "fill", "embed"]))
    assert names <= set(schema.names)
    for name in names:
        kind = schema.field(name).type
        shown = {pa.float32(): "float32"}.get(kind, str(kind).replace("element: ", "").replace("item: ", ""))
        assert re.sub(r"\[\d+\]$", "", shown) == COLUMNS[name][0], name
