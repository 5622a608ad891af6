"""Damaged files of every kind: refused in one line or read whole, in bounded memory and time.

`make fuzz` takes FUZZ_SECONDS in all, 600 by default; else some targets have a second each. FUZZ_SEED begins elsewhere.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.table_targets import ALL_TARGETS

LONG = "FUZZ_SECONDS" in os.environ  # `make test` tries some targets alone
TARGETS_OF_TESTS = ("jsonl", "csv", "tar", "parquet", "images", "config", "checkpoints", "uris", "footers")
NAMES = list(ALL_TARGETS) if LONG else TARGETS_OF_TESTS
SECONDS = float(os.environ.get("FUZZ_SECONDS", len(NAMES))) / len(NAMES)
SEED = os.environ.get("FUZZ_SEED", "0" if "FUZZ_SECONDS" not in os.environ else str(int(time.time())))
# What comes of the good inputs; `read` of those that are not here. The text of a config is no tokenizer, and
# each file of a checkpoint is tried in place of the others, too.
GOOD = {
    "images": {"picture"},
    "config": {"read, refused"},
    "checkpoints": {"read, refused", "refused"},
    "uris": {"uri", "image", "uri_not_allowed"},
}


@pytest.mark.parametrize("name", NAMES)
def test_target(name: str, tmp_path: Path) -> None:
    current = tmp_path / "current"
    command = [sys.executable, "-m", "tests.fuzz.child", name, str(SECONDS), SEED, str(current)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    tried = current.read_bytes()[:500] if current.exists() else b""
    assert done.returncode == 0, f"{done.returncode}, FUZZ_SEED={SEED}, {current}: {tried!r}\n{done.stderr[-3000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    outcomes = found["outcomes"]
    print(f"\n{name}: {sum(outcomes.values()):,} inputs, {found}")
    good = {outcome.removeprefix("good: ") for outcome in outcomes if outcome.startswith("good: ")}
    assert good == GOOD.get(name, {"read"})
    assert any(not outcome.startswith("good: ") for outcome in outcomes), "nothing was tried"
