"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest
import yaml

from jobs.cli import app
from jobs.commands import reindex
from pipeline import JobConfig
from pipeline.common.error_codes import REASONS
from pipeline.common.tasks import TASKS, Task, added_columns
from pipeline.config.evaluate import EvaluateConfig, VqaConfig
from pipeline.config.filter import FilterConfig, KeepConfig

ROOT = Path(__file__).parent.parent


def test_the_reference_lists_every_reason_and_column() -> None:
    reasons = (ROOT / "docs" / "reference" / "reasons.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", reasons, re.MULTILINE)) == REASONS
    columns = (ROOT / "docs" / "reference" / "columns.md").read_text()
    for name in added_columns(list(TASKS)):
        assert f"| `{name}` |" in columns


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("score", "score"),
        ("tars", "score"),
        ("lance", "score"),
        ("answer", "answer"),
        ("classify", "classify"),
        ("embed", "embed"),
        ("regions", "answer"),
        ("rank", "rank"),
        ("tasks", None),
    ],
)
def test_the_configs_are_valid_with_every_line_uncommented(
    name: str, task: Task | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("S3_KEY", "S3_SECRET"):
        monkeypatch.setenv(secret, "x")
    path = ROOT / "configs" / f"{name}.yaml"
    assert JobConfig.load(task, str(path)).tasks == ([task] if task else ["score", "answer"])
    head, *lines = path.read_text().split("\n\n", 1)[1].splitlines()
    values = yaml.safe_load("\n".join(re.sub(r"^(\s*)# (\w+: )", r"\1\2", line) for line in (head, *lines)))
    JobConfig.parse(task, values)


def test_the_filter_config_is_valid_with_every_line_uncommented() -> None:
    path = ROOT / "configs" / "filter.yaml"
    assert FilterConfig.load(str(path)).keep.top == 0.3
    lines = re.sub(r"^(\s*)# (\w+: )", r"\1\2", path.read_text().split("\n\n", 1)[1], flags=re.MULTILINE)
    values = yaml.safe_load(lines)
    for other in ("scores", "run"):
        unread = {other, *(() if other == "scores" else ("ray",))}  # nothing runs on Ray if the scores are there
        FilterConfig.checked({key: value for key, value in values.items() if key not in unread})
    assert set(values) == set(FilterConfig.model_fields)
    assert set(values["keep"]) == set(KeepConfig.model_fields)


def test_the_reindex_config_is_valid_with_every_line_uncommented(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "reindex.yaml").read_text()
    (tmp_path / "all.yaml").write_text(re.sub(r"^(\s*)# (\w+: )", r"\1\2", text, flags=re.MULTILINE))
    assert reindex.load(str(ROOT / "configs" / "reindex.yaml"), ()).output.format == "delta"
    config = reindex.load(str(tmp_path / "all.yaml"), ())
    assert (config.output.retention_days, config.output.retry_errors, config.input.id) == (30, 10, "id")


def test_the_evaluation_config_is_valid_with_every_line_uncommented() -> None:
    path = ROOT / "configs" / "evaluate.yaml"
    assert EvaluateConfig.load(str(path)).vqa
    lines = re.sub(r"^(\s*)# (\w+: )", r"\1\2", path.read_text().split("\n\n", 1)[1], flags=re.MULTILINE)
    values = yaml.safe_load(lines)
    for other in ("model", "results"):
        sections = {
            name: {
                key: value
                for key, value in values[name].items()
                if key not in ({"results"} if other == "results" else {"model", "images"})
            }
            for name in ("retrieval", "vqa", "nlvr2")
        }
        keys = {"output": {"path": "out/"}} if other == "model" else {}  # results have nothing to overwrite
        EvaluateConfig.checked({**values, **sections, **keys})
    assert set(values["vqa"]) == set(VqaConfig.model_fields)


def test_the_config_of_tables_is_valid_with_each_of_its_paths() -> None:
    path = ROOT / "configs" / "tables.yaml"
    assert FilterConfig.load(str(path)).scoring_job(overwrite=False).text_columns == ["fixed_text"]
    paths = re.findall(r"^  # (path: \S+)", path.read_text(), re.MULTILINE)
    assert len(paths) == 9
    for line in paths:
        FilterConfig.load(str(path), [f"input.path={line.removeprefix('path: ')}", "input.column_names=[caption, url]"])


def test_the_readme_names_every_command() -> None:
    rows = "".join(re.findall(r"^\| `vilt .*$", (ROOT / "README.md").read_text(), re.MULTILINE))
    named = set(re.findall(r"`(?:vilt )?(\w+)`", rows.replace("`vilt ", "`")))
    assert {info.name for info in app.registered_commands} - named == {"demo", "quality", "train"}, (
        "of the model shipped"
    )


def test_the_configs_name_every_task_and_column() -> None:
    text = (ROOT / "configs" / "tasks.yaml").read_text()
    lines = dict(re.findall(r"^#   (\w+)\s+([\w, ]+?)  ", text, re.MULTILINE))
    assert lines == {task: ", ".join(spec.columns) for task, spec in TASKS.items()}
