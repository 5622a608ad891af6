"""Lock what `make` installs, by the hashes of its files, and list it in an SBOM (CycloneDX).

    python -m locks.generate            # asks the package index, by way of uv; writes the locks and sbom.json
    python -m locks.generate --check    # fails unless they are of the versions in constraints.txt; needs no network

torch has no hash here: which build fits (CPU, CUDA, ROCm) depends on the machine, and each index has its own files. It
is installed by its exact version, with what only its builds for GPUs bring, after all others.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "locks"
PYTHON = "3.11"
EXTRAS = {"run.txt": (), "cluster.txt": ("hub", "metrics"), "test.txt": ("test",)}
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
HEADER = "# Made by `python -m locks.generate`: do not edit. torch is not in here, see there.\n"
_PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==([^\s;\\]+)(?: ; ([^\\]+?))?(?: \\)?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """A package of a lock.

    Attributes:
        name: Its name.
        version: Its version.
        marker: For which machines it is; "" for all.
        hashes: The SHA-256 of each of its files.
    """

    name: str
    version: str
    marker: str
    hashes: list[str]


def read_lock(text: str) -> Iterator[Pin]:
    """Yield the packages of a lock, or of constraints."""
    pin: Pin | None = None
    for line in text.splitlines():
        if match := _PIN.match(line):
            if pin:
                yield pin
            pin = Pin(match[1], match[2], (match[3] or "").strip(), [])
        elif pin and (found := _HASH.search(line)):
            pin.hashes.append(found[1])
    if pin:
        yield pin


def compile_lock(extras: tuple[str, ...]) -> str:
    """Return the lock of the project with some of its extras, for all systems; asks the package index."""
    options = [
        "--universal",
        "--python-version",
        PYTHON,
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    options += ["--constraint", "constraints.txt", *(word for extra in extras for word in ("--extra", extra))]
    command = ["uv", "pip", "compile", *options, "pyproject.toml", "-"]
    done = subprocess.run(command, cwd=ROOT, input="setuptools>=77\n", capture_output=True, text=True, check=True)
    blocks = re.split(r"\n(?=[a-z0-9])", done.stdout.strip())
    return HEADER + "\n".join(block for block in blocks if not OF_TORCH.fullmatch(block.partition("==")[0])) + "\n"


def sbom(run: list[Pin], torch: Pin) -> dict[str, Any]:
    """Return the SBOM of what a user installs, as CycloneDX 1.6."""
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "vilt-pipeline",
                "name": "vilt-pipeline",
                "version": project[1],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [component(pin) for pin in sorted([*run, torch])],
        "dependencies": [{"ref": "vilt-pipeline", "dependsOn": sorted(purl(pin) for pin in [*run, torch])}],
    }


def purl(pin: Pin) -> str:
    """Return the URL that names a package in all tools."""
    return f"pkg:pypi/{pin.name}@{pin.version}"


def component(pin: Pin) -> dict[str, Any]:
    """Return the entry of a package, with the hashes of its files."""
    out: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl(pin),
        "name": pin.name,
        "version": pin.version,
        "purl": purl(pin),
    }
    if pin.hashes:
        url = f"https://pypi.org/project/{pin.name}/{pin.version}/"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.hashes]
        out["externalReferences"] = [{"type": "distribution", "url": url, "hashes": hashes}]
    if pin.marker:
        out["properties"] = [{"name": "marker", "value": pin.marker}]
    return out


def faults(constraints: dict[str, Pin], locks: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with the locks."""
    for name, text in locks.items():
        pins = list(read_lock(text))
        yield from (f"locks/{name}: {pin.name} has no hash" for pin in pins if not pin.hashes)
        for pin in pins:
            wanted = constraints.get(pin.name)
            if wanted and wanted.version != pin.version:
                yield f"locks/{name}: {pin.name} {pin.version}; constraints.txt has {wanted.version}"
        locked = {pin.name for pin in pins}
        if name == "test.txt":
            missing = sorted({*constraints} - locked - {"torch"})
            yield from (f"locks/{name}: {one} is missing; constraints.txt has it" for one in missing)


def main(words: list[str]) -> int:
    """Write the files, or check them; return the exit code."""
    constraints = {pin.name: pin for pin in read_lock((ROOT / "constraints.txt").read_text())}
    if "--check" not in words:
        for name, extras in EXTRAS.items():
            (FOLDER / name).write_text(compile_lock(extras))
    locks = {name: (FOLDER / name).read_text() for name in EXTRAS}
    found = list(faults(constraints, locks))
    bom = json.dumps(sbom(list(read_lock(locks["run.txt"])), constraints["torch"]), indent=1) + "\n"
    path = FOLDER / "sbom.json"
    if "--check" not in words:
        path.write_text(bom)
    elif path.read_text() != bom:
        found.append("locks/sbom.json is not that of locks/run.txt")
    for fault in found:
        print(f"{fault}; run `make lock`")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
