"""A key of a config has an effect, or is refused: none is accepted that changes nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline import ConfigError, JobConfig
from pipeline.config.base import Section, _sections_in
from pipeline.config.evaluate import EvaluateConfig
from pipeline.config.filter import FilterConfig

ROOT = Path(__file__).parents[2]
CODE = [
    path for folder in ("jobs", "pipeline") for path in (ROOT / folder).rglob("*.py") if path.parent.name != "config"
]
# Of the table that was scored, for a report's pictures and texts: it stands in the summary.
FOR_REPORTS = {"input.text", "input.features", "input.features_mask", "input.fixed_text", "input.contact"}
FOR_REPORTS |= {"input.robots"}
OTHER = {  # values that are not the defaults
    "ray.address": "auto",
    "ray.decode_on": "all_nodes",
    "input.columns": ["id"],
    "precision": "float32",
    "max_error_rate": 0.5,
    "actors.count": 2,
    "actors.min": 1,
    "actors.max": 2,
    "actors.gpus": 0,
    "actors.cpus": 1,
    "output.overwrite": True,
    "vqa.images": "images/",
}


def keys(section: type[Section], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the dotted key, the section's class and the name of every key that holds a value."""
    for name, field in section.model_fields.items():
        inner = [one for one in _sections_in(field.annotation) if issubclass(one, Section)]
        for one in inner:
            yield from keys(one, f"{above}{name}.")
        if not inner:
            yield f"{above}{name}", section.__name__, name


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The class and name of each key that code outside the room of configs reads."""
    found: set[tuple[str, str]] = set()
    plain = Section.__getattribute__

    def noted(section: Section, name: str) -> Any:
        if name in type(section).model_fields and "/config/" not in sys._getframe(1).f_code.co_filename:
            found.add((type(section).__name__, name))
        return plain(section, name)

    monkeypatch.setattr(Section, "__getattribute__", noted)
    return found


def refused(section: type[Section], values: dict[str, Any], key: str) -> bool:
    """Return whether a key with another value than the default is refused by its name, or with its whole section."""
    *above, name = key.split(".")
    values = json.loads(json.dumps(values))
    inner = values
    for one in above:
        inner = inner.setdefault(one, {})
    kind = next(kind for found, kind, _ in keys(section) if found == key)
    inner[name] = OTHER.get(key, 2 if kind in ("LimitsConfig", "BatchConfig") else "x")
    if key == "batch.tokens":
        inner[name] = 1024
    with pytest.raises(ConfigError) as caught:
        section.checked(values)
    names = {key, above[0]} if above else {key}
    return any(f"config: {one}: " in str(caught.value) for one in names)


def run(command: str, values: dict[str, Any], folder: Path) -> None:
    (folder / "job.yaml").write_text(json.dumps(values))
    result = CliRunner().invoke(app, [command, str(folder / "job.yaml")])
    assert result.exit_code == 0, result.output


def test_filter_with_scores(tmp_path: Path, read: set[tuple[str, str]]) -> None:
    scores = {"row_id": [1, 2], "score": [0.1, 0.2], "negative_scores": [[0.0], [0.1]]}
    for name, columns in {"table": {"id": [1, 2]}, "scores": scores}.items():
        (tmp_path / name).mkdir()
        table = pa.table({**columns, "error": pa.nulls(2, pa.string())}, metadata={"vilt.negatives": '["a"]'})
        pq.write_table(table, tmp_path / name / "part-0.parquet")
    values = {
        "input": {"path": f"{tmp_path}/table", "id": "id"},
        "scores": f"{tmp_path}/scores",
        "keep": {"top": 0.5, "beats": {"texts": ["a"]}},
        "output": {"path": f"{tmp_path}/out"},
    }
    run("filter", values, tmp_path)
    optional = ("storage.", "keep.beats.")  # sections that this filter does without
    unread = [key for key, *where in keys(FilterConfig) if tuple(where) not in read and not key.startswith(optional)]
    assert set(unread) >= {"ray.address", "input.columns"}
    assert all(refused(FilterConfig, values, key) for key in unread if key not in FOR_REPORTS)


def test_evaluate_of_results(tmp_path: Path, read: set[tuple[str, str]]) -> None:
    question = {"question_id": 1, "image_id": 1}
    questions = {"data_subtype": "x", "questions": [{**question, "question": "q"}]}
    answers = {"annotations": [{**question, "answer_type": "a", "answers": [{"answer": "yes"}]}]}
    for name, content in {"questions": questions, "annotations": answers}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "results").mkdir()
    pq.write_table(pa.table({"question_id": [1], "answer": ["yes"]}), tmp_path / "results" / "part-0.parquet")
    files = {name: f"{tmp_path}/{name}.json" for name in ("questions", "annotations")}
    values = {"vqa": {**files, "results": f"{tmp_path}/results"}, "output": {"path": f"{tmp_path}/out"}}
    run("evaluate", values, tmp_path)
    others = ("storage.", "retrieval.", "nlvr2.")
    unread = [key for key, *where in keys(EvaluateConfig) if tuple(where) not in read and not key.startswith(others)]
    assert set(unread) >= {"precision", "max_error_rate", "actors.count", "output.overwrite", "vqa.images"}
    assert all(refused(EvaluateConfig, values, key) for key in unread)


def test_every_key_of_a_job_is_read_by_something() -> None:
    """In other processes, too, so by the text of the code."""
    code = "".join(path.read_text() for path in CODE)
    read_as = {"file_bytes": "least_file_bytes"}
    for key, _, name in keys(JobConfig):
        name = read_as.get(name, name)
        assert re.search(rf"\.{name}\b", code) or f'"{name}"' in code or key.startswith("storage."), key


@pytest.mark.parametrize(
    ("task", "more", "message"),
    [
        (
            "rank",
            {"input": {"path": "t", "text": "caption"}},
            "input.text: 'caption', but rank reads the texts in texts",
        ),
        (
            "score",
            {"output": {"path": "o", "keep_image": True, "rows_per_file": 5}},
            "output.rows_per_file: 5, but with",
        ),
        ("score", {"texts": {"path": "t"}}, "texts: only rank reads it"),
        ("score", {"top_k": 3}, "top_k: 3, but score keeps no list of the best: leave it out"),
        ("answer", {"negatives": ["a watermark"]}, "negatives: only score reads them; the job is of answer"),
    ],
)
def test_keys_of_another_task(task: str, more: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"input": {"path": "t"}, "model": "m", "output": {"path": "o"}}
    values |= {"texts": {"path": "t"}} if task == "rank" else {}
    with pytest.raises(ConfigError, match=re.escape(message)):
        JobConfig.parse(None, {"task": task, **values, **more})
