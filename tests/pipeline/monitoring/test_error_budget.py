"""A job that is going wrong ends early, says why, and goes on where it was once it may."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import JobConfig, run
from pipeline.common.errors import TooManyErrorsError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def job(folder: Path, rows: int, **keys: Any) -> dict[str, Any]:
    """Rows without an image that could be read."""
    if not (folder / "table").exists():
        (folder / "table").mkdir()
        table = pa.table({"id": range(rows), "image": [b"x"] * rows, "text": ["a red star"] * rows})
        pq.write_table(table, folder / "table" / "a.parquet", row_group_size=100)
    return {
        "input": {"path": str(folder / "table"), "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "report": False, "rows_per_file": 100},
        "batch": {"window_rows": 100},
        **keys,
    }


def test_it_ends_early_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job(tmp_path, 6000)))
    command = [str(Path(sys.executable).parent / "vilt"), "score", "job.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert " ERROR " not in done.stderr, "Ray Data tells it too"
    line = done.stderr.splitlines()[-1]
    assert line.startswith("max_error_rate: ")
    assert "pairs were rejected" in line
    assert "more than 5.0%" in line
    assert "with image_unsupported, as row " in line
    assert line.count("1 bytes are no image format that is known") == 3, "three examples"
    assert not list((tmp_path / "out").glob("*.parquet"))
    written = len(list((tmp_path / "out" / "_progress").glob("part-*")))
    summary = run(JobConfig.parse("score", job(tmp_path, 6000, max_error_rate=1)))
    assert (summary.rows_in, summary.rows_out, summary.scored) == (6000, 6000, 0)
    assert summary.resumed_rows >= 100 * written
    ids = pq.read_table(tmp_path / "out")["id"].to_pylist()
    assert sorted(ids) == list(range(6000))


def test_a_small_table_is_judged_at_its_end(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TooManyErrorsError) as caught:
            run(JobConfig.parse("score", job(tmp_path, 40)))
        line = str(caught.value)
        assert line.startswith(
            "max_error_rate: 40 of 40 pairs were rejected, more than 5.0%; 40 with image_unsupported"
        )
        assert line.count("1 bytes are no image format that is known") == 3, "three examples"
        assert "\n" not in line
        assert not list((tmp_path / "out").glob("*.parquet"))
    summary = run(JobConfig.parse("score", job(tmp_path, 40, max_error_rate=1)))
    assert (summary.rows_out, summary.resumed_rows, summary.rejected) == (40, 40, {"image_unsupported": 40})
    assert (summary.scored, summary.batch_fill) == (0, 0.0)
    assert pq.read_table(tmp_path / "out")["error"].to_pylist() == ["image_unsupported"] * 40
    kinds = pq.read_schema(tmp_path / "out" / summary.files[0])
    assert kinds.field("score").type == pa.float32()
    assert kinds.field("error").type == pa.string()
