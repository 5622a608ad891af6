"""Every command of the tutorial, run as it is written, in an environment that holds only what it has installed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDS = "=== end of block ==="


def squeezed(text: str) -> str:
    """One space between words; figures that depend on the machine are kept as they are."""
    return re.sub(r"\s+", " ", text).strip()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of the project and an environment of its own, in which only the libraries are there already."""
    folder = tmp_path_factory.mktemp("tutorial")
    listed = subprocess.run(["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    assert "pyproject.toml" in names
    for name in names:
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "project" / name)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    for bundled in (*site.glob("setuptools*"), *site.glob("pkg_resources*")):  # of Python 3.11: too old to build with
        shutil.rmtree(bundled)
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # That of the variable is the value of `build_isolation`: 0 is what --no-build-isolation says.
    pip = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
    left_out = {"PYTHONPATH", "RAY_ADDRESS", "PIP_FIND_LINKS"}
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    return folder / "project", {**inherited, "PATH": path, **pip}


def test_every_command(environment: tuple[Path, dict[str, str]]) -> None:
    folder, variables = environment
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    commands = [text for kind, text in blocks if kind == "sh"]
    script = "set -e\n" + "".join(f"{text}echo '{ENDS}'\n" for text in commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = iter(done.stdout.split(ENDS))
    output = ""
    for kind, text in blocks:
        if kind == "sh":
            output = squeezed(next(outputs))
        else:
            for line in text.splitlines():
                assert squeezed(line) in output, f"docs/tutorial.md shows {line!r}, but it prints\n{output}"
    assert (folder / "scores" / "_report.html").exists()
    assert list((folder / "good" / "kept").glob("*.parquet"))
    installed = next((folder.parent / "venv").glob("lib/python*/site-packages"))
    for package in ("vilt", "pipeline", "jobs"):
        assert (installed / package / "py.typed").exists()
    assert (installed / "vilt" / "zoo" / "scenes" / "model.safetensors").exists()
