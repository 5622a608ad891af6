"""Every error that says 'run it again' is of a fault that passes: the same command then ends well.

The places are found in the code: a new one without a case here fails the test.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.reports.commits import commit_values
from tests import passing_faults, passing_faults_of_files
from tests.passing_faults import Case
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture
CASES = {**passing_faults.CASES, **passing_faults_of_files.CASES}
ROOT = Path(__file__).parent.parent
SAYS_SO = re.compile(r"run (it|the same command|the command) (again|to resume)|what is missing|run again")
NO_ERRORS = {"jobs/console/exit_codes.py <module>"}  # the table of what exit codes mean


@pytest.fixture
def small_world(world: Callable[[], World]) -> Any:
    """A table of three rows, to be reindexed."""
    here = world()
    here.put("a", [(1, "a"), (2, "bb"), (3, "ccc")])
    yield here
    shutil.rmtree(here.folder)


def places() -> set[str]:
    """Return the file and function of every text that tells a person to run a command again."""
    found = set()
    for package in ("pipeline", "jobs", "vilt"):
        for file in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(file.read_text())
            docstrings = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(node.body[0], ast.Expr)
            }
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            for node in ast.walk(tree):
                if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in docstrings:
                    continue
                if SAYS_SO.search(node.value):
                    around = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]
                    name = max(around, key=lambda f: f.lineno).name if around else "<module>"
                    found.add(f"{file.relative_to(ROOT)} {name}")
    return found - NO_ERRORS


def test_every_place_has_a_case() -> None:
    assert places() == set(CASES)


@pytest.mark.parametrize("case", {case.__name__: case for cases in CASES.values() for case in cases}.values())
def test_the_fault_passes(case: Case, small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case(small_world, monkeypatch, tmp_path)


def test_a_commit_has_values(small_world: World) -> None:
    """What `--json` prints of a commit is JSON, the cut texts included."""
    small_world.run()
    assert commit_values(small_world.commit())["texts_truncated"] == 0
