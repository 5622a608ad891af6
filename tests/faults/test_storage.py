"""A storage that answers badly, and one that is full."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from jobs.demo.s3_server import S3Server
from tests.faults.harness import ROWS, TABLE, VILT, Job, Outcome, scene_table
from tests.faults.proxy import BadProxy


def test_a_fifth_of_the_requests_goes_wrong(
    folder: Path, server: S3Server, undisturbed: tuple[float, dict[int, float]]
) -> None:
    """Images by URI, so that there are many requests; what failed too often is tried again by --retry-errors."""
    job = Job(folder, server, "proxy")
    table = scene_table(ROWS)
    for i, image in enumerate(table["image"].to_pylist()[:60]):
        job.s3.pipe_file(f"proxy/table/images/{i}.img", image)
    uris = table.set_column(1, "image", [[f"images/{i % 60}.img" for i in range(ROWS)]])
    for i in range(3):
        job.s3.rm_file(f"proxy/table/{i}.parquet")
    with job.s3.open("proxy/table/all.parquet", "wb") as file:
        pq.write_table(uris, file, row_group_size=50)
    proxy = BadProxy(server.port)
    job.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.port}"
    try:
        seconds = job.finish("max_error_rate=1")
        job.outcome("503, slow or cut: a fifth of the requests", proxy.made.total() - proxy.made["none"], None)
        found = TABLE[-1]
        assert min(proxy.made[fault] for fault in ("503", "slow", "cut")) > 3
        if found.rejected:
            assert set(found.rejected) <= {"fetch_timeout", "fetch_throttled", "image_fetch_failed"}
    finally:
        proxy.close()
    job.environment["AWS_ENDPOINT_URL"] = server.endpoint
    job.finish("--retry-errors")
    found.seconds_lost = seconds - undisturbed[0]
    job.outcome("the same, after --retry-errors", 1)
    assert not TABLE[-1].rejected
    assert max(abs(job.scores[i] - score) for i, score in undisturbed[1].items()) < 1e-4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 32 kB; where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("to make a small filesystem takes the right to mount one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "table").mkdir()
    pq.write_table(scene_table(ROWS), tmp_path / "table" / "a.parquet", row_group_size=50)
    values: dict[str, Any] = {
        "input": {"path": str(tmp_path / "table"), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(small_disk / "scores"), "rows_per_file": 30},
        "batch": {"window_rows": 40},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))

    def run() -> subprocess.CompletedProcess[str]:
        command = [str(VILT), "score", "job.yaml"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)

    full = run()
    assert full.returncode == 1
    line = full.stderr.splitlines()[-1]
    assert line.startswith("the storage failed: ")
    assert "No space left on device" in line
    assert line.endswith("what was written stays, and the same command goes on")
    assert 0 < len(list((small_disk / "scores" / "_progress").glob("part-*"))) < ROWS // 30
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert run().returncode == 0
    rows = pq.read_table(small_disk / "scores").to_pylist()
    ids = [row["id"] for row in rows]
    TABLE.append(Outcome("full disk, then room", 1, ROWS, len(set(ids)), len(ids) - len(set(ids))))
    assert sorted(ids) == [i * 7 for i in range(ROWS)]
    assert not (small_disk / "scores" / "_progress").exists()
