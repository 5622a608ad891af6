"""What tells two jobs apart, in words."""

from typing import Any

import pytest

from pipeline.results.differences import differences

CONFIG: dict[str, Any] = {
    "tasks": ["score"],
    "input": {"path": "in", "text": "caption"},
    "model": "zoo://scenes",
    "output": {"path": "out"},
}
SAME = {"model": "m", "input": "i", "config": "c"}


def changed(**sections: Any) -> dict[str, Any]:
    """Return the config with other sections."""
    return {**CONFIG, **sections}


@pytest.mark.parametrize(
    ("after", "identity", "words"),
    [
        (CONFIG, SAME, ""),
        (
            changed(input={"path": "in", "text": "alt", "id": "key"}),
            {**SAME, "config": "d"},
            "input.text was 'caption' and is 'alt', input.id was not set and is 'key'",
        ),
        (changed(input={"path": "in"}), {**SAME, "config": "d"}, "input.text was 'caption' and is not set"),
        (changed(tasks=["answer"]), {**SAME, "config": "d"}, "tasks was ['score'] and is ['answer']"),
        (changed(output={"path": "b"}, max_error_rate=1.0, storage={"key": "k"}, actors={"count": 2}), SAME, ""),
        (CONFIG, {**SAME, "model": "n"}, "the weights of the checkpoint have changed"),
        (CONFIG, {**SAME, "input": "j"}, "the files of the input table have changed"),
        (
            changed(model="m2", input={**CONFIG["input"], "path": "b"}),
            {"model": "n", "input": "j", "config": "d"},
            "input.path was 'in' and is 'b', model was 'zoo://scenes' and is 'm2'",
        ),
        ({}, {**SAME, "config": "d"}, ""),  # of a release that did not keep the config
        (
            changed(input={"path": "in?token=hunter2", "text": "caption"}),
            SAME,
            "input.path was 'in' and is 'in?token=***'",
        ),
    ],
)
def test_differences(after: dict[str, Any], identity: dict[str, str], words: str) -> None:
    assert differences(CONFIG, after, (SAME, identity)) == words


def test_many_and_long_ones_stay_one_line() -> None:
    before = {f"key{i}": "a" * 1000 for i in range(9)}
    found = differences(before, dict.fromkeys(before, "b" * 1000), ({}, {}))
    assert found.endswith(", 4 more")
    assert len(found) < 1000
