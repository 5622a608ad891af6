"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline import JobConfig
from pipeline.config import Task
from pipeline.reasons import REASONS
from pipeline.schema import added_columns

ROOT = Path(__file__).parent.parent


def test_the_readme_lists_every_reason_and_column() -> None:
    text = (ROOT / "README.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)).items() >= REASONS.items()
    for name in {*added_columns("score"), *added_columns("answer")}:
        assert f"`{name}`" in text


@pytest.mark.parametrize("task", ["score", "answer"])
def test_the_configs_are_valid_with_every_line_uncommented(task: Task) -> None:
    path = ROOT / "configs" / f"{task}.yaml"
    assert JobConfig.load(task, str(path)).task == task
    head, *lines = path.read_text().split("\n\n", 1)[1].splitlines()
    values = yaml.safe_load("\n".join(re.sub(r"^(\s*)# (\w+: )", r"\1\2", line) for line in (head, *lines)))
    JobConfig.parse(task, values)


def test_the_readme_config_is_valid() -> None:
    block = re.search(r"edit it:\n\n((?:    .+\n)+)", (ROOT / "README.md").read_text())
    assert block
    JobConfig.parse("score", yaml.safe_load(block[1]))
