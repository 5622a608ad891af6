"""What a process imports: torch and Ray Data take seconds, and are left to those that need them."""

import subprocess
import sys

import pytest

import pipeline
import vilt

HEAVY = {"torch", "aiohttp", "ray.data", "pandas", "matplotlib", "duckdb", "deltalake", "transformers"}


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("jobs.cli", HEAVY | {"ray", "pyarrow", "pydantic"}),  # `vilt --help`
        ("jobs.commands.batch", HEAVY),  # until the config is read
        ("pipeline.monitoring.error_budget", HEAVY),  # an actor that counts
        ("pipeline.stages.preprocess", {"torch", "aiohttp", "matplotlib", "duckdb", "deltalake", "transformers"}),
        ("pipeline.stages.predict", {"ray.data", "matplotlib", "duckdb", "deltalake", "transformers"}),
    ],
)
def test_modules_are_light(module: str, spared: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not spared & set(done.stdout.split())


def test_a_config_that_names_its_dtype_needs_no_torch() -> None:
    """As all that transformers has written do: every process that reads a table reads the config."""
    code = """
import sys
from vilt import ViltConfig
config = ViltConfig(torch_dtype="torch.float16")
assert config.to_dict()["dtype"] == "float16"
assert "torch" not in sys.modules
import torch
assert config.dtype is config.torch_dtype is torch.float16
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", [vilt, pipeline])
def test_every_public_name_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing  # type: ignore[attr-defined]
