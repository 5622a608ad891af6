"""Images of 60 MB and lists of 500 texts, on a Ray whose object store has 200 MB, with slow actors and storage.

Memory stays within what `vilt plan` and the docs say, nothing is spilled without a line that says so, and nothing
stands still.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

SIDE = 4472  # 60 MB of RGB
ROWS = 8
TEXTS = 500
TIMEOUT = 600  # seconds: it stands still
KINDS = {"MapWorker": "actor", "Write": "write_task"}  # a part of the name of a process -> the bound; others read


@pytest.fixture(scope="module")
def image() -> bytes:
    """A PNG of 60 MB."""
    pixels = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "png", compress_level=0)
    return sink.getvalue()


def run_job(folder: Path, image: bytes, texts: list[Any], **output: Any) -> tuple[dict[str, Any], str]:
    """Score a table; return what the job printed, and its log."""
    (folder / "table").mkdir()
    columns = pa.table({"id": range(ROWS), "image": [image] * ROWS, "text": texts})
    pq.write_table(columns, folder / "table" / "0.parquet", row_group_size=2, use_dictionary=False, compression="none")
    values = {
        "task": "score",
        "input": {"path": str(folder / "table"), "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "report": False, **output},
        "actors": {"count": 1, "cpus": 1},
        "batch": {"window_bytes": 2**27},
    }
    (folder / "job.yaml").write_text(json.dumps(values))
    command = [sys.executable, "-m", "tests.faults.heavy_job", str(folder / "job.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("kept", [False, True])
def test_heavy_rows(tmp_path: Path, image: bytes, kept: bool) -> None:
    """With `kept` the images go through the object store into the results; else a row has 500 texts."""
    texts = ["a small red star"] * ROWS if kept else [["a small red star"] * TEXTS] * ROWS
    said, log = run_job(tmp_path, image, texts, keep_image=kept)
    print(said)
    assert (said["rows"], said["rejected"]) == (ROWS, {})
    assert said["pairs"] == ROWS * (1 if kept else TEXTS)
    most = said["planned"]
    for kind, peak in said["peak_mib"].items():
        bound = next((most[name] for part, name in KINDS.items() if part in kind), most["read_task"])
        if not kind.startswith("IDLE"):  # which was one of the others
            assert peak < bound / 2**20, f"{kind}: {peak} MiB"
    assert (said["spilled"] > 0) == ("spilled" in log)
