"""The scripts in examples/ run from start to end, and their own assertions hold."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_there_is_one_for_each_way_of_use() -> None:
    assert [path.stem for path in EXAMPLES] == ["predictor", "ray_data", "training_set"]
