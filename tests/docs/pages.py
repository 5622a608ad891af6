"""The commands of a page of the documents, run as they are written, where only what the page installs is there."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.ray_compat import CLUSTER_VARIABLE

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def squeezed(text: str) -> str:
    """One space between words; figures that depend on the machine are kept as they are."""
    return re.sub(r"\s+", " ", text).strip()


PIP = """#!{}
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""  # that of the libraries: a copy of its own takes seconds to install
RAY = """
import sys
import ray
from pipeline.cluster.session import start_local
start_local(cores=3)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


def make_environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """A copy of the project and an environment of its own, in which only the libraries are there already."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    assert "pyproject.toml" in names
    for name in names:
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "project" / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site, pip = next((folder / "venv").glob("lib/python*/site-packages")), folder / "venv" / "bin" / "pip"
    pip.write_text(PIP.format(folder / "venv" / "bin" / "python"))
    pip.chmod(0o755)
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # That of the variable is the value of `build_isolation`: 0 is what --no-build-isolation says.
    options = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
    left_out = {"PYTHONPATH", "RAY_ADDRESS", "PIP_FIND_LINKS"}
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}  # of the Ray that all commands share
    return folder / "project", {**inherited, "PATH": path, **options, **token}


@contextmanager
def ray_of(folder: Path, variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """A Ray that all commands share: each would start one, which takes most of a command's time."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [folder.parent / "venv" / "bin" / "python", "-c", RAY]
    with subprocess.Popen(command, cwd=folder, env=variables, **pipes) as ray:  # type: ignore[call-overload]
        try:
            yield {"RAY_ADDRESS": ray.stdout.readline().strip(), CLUSTER_VARIABLE: "0"}
        finally:
            ray.communicate()


def run(commands: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a block of the page as a shell does; what it prints on stdout."""
    command = ["bash", "-ec", commands]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_page(name: str, install: str, folder: Path, variables: dict[str, str]) -> None:
    """Run the commands of a page, and check that they print what it shows.

    `install` is run first, with no Ray: it is the first block of the page, or comes before the page.
    """
    blocks = BLOCK.findall((ROOT / name).read_text())
    run(install, folder, variables)
    output = ""
    with ray_of(folder, variables) as address:
        for kind, text in blocks:
            if kind == "sh" and text != install:
                output = squeezed(run(text, folder, {**variables, **address}))
            elif kind == "text":
                for line in text.splitlines():
                    assert squeezed(line) in output, f"{name} shows {line!r}, but it prints\n{output}"
