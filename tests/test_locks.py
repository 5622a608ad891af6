"""What `make` installs is locked by hashes, at the versions of constraints.txt, and listed in an SBOM."""

from __future__ import annotations

import json
import re

import pytest

from locks import generate


def test_locks_and_sbom_are_of_the_constraints(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", generate.EXTRAS)
def test_every_package_but_torch_has_hashes(name: str) -> None:
    text = (generate.FOLDER / name).read_text()
    pins = {pin.name: pin for pin in generate.read_lock(text)}
    assert all(pin.hashes for pin in pins.values())
    assert not [one for one in pins if generate.OF_TORCH.fullmatch(one)]
    assert {"ray", "numpy", "setuptools", "sympy"} <= {*pins}, "torch's own needs, too, and what builds the project"
    assert "@" not in text
    assert not re.search(r"https?://|file:", text)


def test_a_lock_that_lags_behind_is_named() -> None:
    constraints = {"numpy": generate.Pin("numpy", "9.9", "", [])}
    lock = "numpy==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\nrich==2.0\n"
    assert list(generate.faults(constraints, {"run.txt": lock})) == [
        "locks/run.txt: rich has no hash",
        "locks/run.txt: numpy 1.0; constraints.txt has 9.9",
    ]
    assert list(generate.faults(constraints, {"test.txt": ""})) == [
        "locks/test.txt: numpy is missing; constraints.txt has it"
    ]


def test_the_sbom_lists_what_a_user_installs() -> None:
    bom = json.loads((generate.FOLDER / "sbom.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    names = [one["name"] for one in bom["components"]]
    pins = list(generate.read_lock((generate.FOLDER / "run.txt").read_text()))
    assert sorted(names) == sorted([*(pin.name for pin in pins), "torch"])
    assert {one["bom-ref"] for one in bom["components"]} == {*bom["dependencies"][0]["dependsOn"]}
