"""A job on another vendor's S3: moto's server, reached through the config's section `storage` alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from jobs.demo.s3_server import free_port
from pipeline import JobConfig, run

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The endpoint of a running server."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_a_job_reads_and_writes(moto: str, scene_rows: Callable[[int], list[dict[str, Any]]]) -> None:
    section = {"endpoint_url": moto, "key": "any", "secret": "any", "region": "us-east-1"}
    s3 = s3fs.S3FileSystem(endpoint_url=moto, key="any", secret="any")
    s3.mkdir("vendor")
    rows = scene_rows(20)
    for i, row in enumerate(rows[:10]):
        s3.pipe_file(f"vendor/images/a b/{i}.img", row["image"])
        row["image"] = f"s3://vendor/images/a b/{i}.img"
    rows[0]["image"] = "s3://vendor/images/none.img"
    for name, part in (("0", rows[:10]), ("1", [{**row, "image": "../secret"} for row in rows[10:]])):
        pq.write_table(pa.Table.from_pylist(part), f"vendor/pairs/day={name}/a.parquet", filesystem=s3)
    values: dict[str, Any] = {
        "input": {"path": "s3://vendor/pairs", "text": "caption", "id": "id", "allow": ["s3://vendor/images"]},
        "output": {"path": "s3://vendor/scores", "report": False},
        "max_error_rate": 1,
        "model": "zoo://scenes",
        "storage": section,
    }
    summary = run(JobConfig.parse("score", values))
    assert (summary.rows_in, summary.scored) == (20, 9)
    assert summary.rejected == {"uri_not_allowed": 10, "image_missing": 1}
    out = pq.read_table("vendor/scores", filesystem=s3).to_pylist()
    assert sorted(row["id"] for row in out) == sorted(row["id"] for row in rows)
    assert {row["day"] for row in out} == {0, 1}
    again = run(
        JobConfig.parse(
            "score", {**values, "output": {"path": "s3://vendor/scores", "report": False, "overwrite": True}}
        )
    )
    names = {path.rpartition("/")[2] for path in s3.find("vendor/scores")}
    assert names == {"_input.json", "_summary.json", *again.files}
