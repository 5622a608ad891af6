"""A Hudi table is refused as input in every command, before any work, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from tests.foreign.writers import hudi, parquet

REFUSED = r"is a Hudi table (.hoodie/), which is not read yet"


@pytest.mark.parametrize(
    "command", ["score", "answer", "plan", "reindex", "rank", "rank texts", "filter", "filter run", "evaluate"]
)
def test_refused(command: str, tmp_path: Path) -> None:
    table, plain = tmp_path / "table", tmp_path / "plain"
    table.mkdir()
    hudi(table)
    parquet(plain / "a.parquet", {"n": [1]})
    verb, _, kind = command.partition(" ")
    values: dict[str, Any] = {"input": {"path": str(table)}, "output": {"path": str(tmp_path / "out")}}
    if verb == "evaluate":
        del values["input"]
        questions, annotations = tmp_path / "questions.json", tmp_path / "annotations.json"
        questions.write_text('{"data_subtype": "x", "questions": [{"question_id": 1, "image_id": 1, "question": "q"}]}')
        annotations.write_text(
            '{"annotations": [{"question_id": 1, "image_id": 1, "answer_type": "a", "answers": [{"answer": "a"}]}]}'
        )
        values["vqa"] = {"questions": str(questions), "annotations": str(annotations), "results": str(table)}
    elif verb == "filter":
        values |= {"keep": {"top": 0.5}}
        values |= {"run": {"task": "score", "model": "zoo://scenes"}} if kind else {"scores": str(plain)}
    else:
        values |= {"model": "zoo://scenes", **({"task": "score"} if verb == "reindex" else {})}
    if verb == "rank":
        values["texts"] = {"path": str(plain)}
        if kind:
            values |= {"input": {"path": str(plain)}, "texts": {"path": str(table)}}
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(values))
    options = ["--task", "score"] if verb == "plan" else []
    result = CliRunner().invoke(app, [verb, *options, str(config)])
    assert result.exit_code == 2, result.output
    assert REFUSED in result.output
    assert result.output.count("\n") == 1, result.output
    assert not [path for path in tmp_path.rglob("out/*") if path.suffix == ".parquet"]
