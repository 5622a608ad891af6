"""Imports run downward only: jobs -> pipeline -> vilt."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "vilt": {"pipeline", "jobs", "ray", "pyarrow", "pandas", "yaml", "pydantic", "typer"},
    "pipeline": {"jobs", "typer"},
}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_downward(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in FORBIDDEN[package], f"{file.name} imports {name}"
