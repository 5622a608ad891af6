"""Fixtures that tests share: one Ray for the whole run, tables of drawn scenes, a real S3 server."""

from __future__ import annotations

import fcntl
import gc
import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from jobs.demo import questions, scenes
from jobs.demo.s3_server import S3Server
from tests.outputs import make_outputs
from tests.prometheus import find_tools

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 is for machines where nobody waits for the workers
os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # on a busy machine a Ray starts late, but it starts
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # on a busy one a slow example is no failure
torch.set_num_threads(1)  # `make test` runs two processes
# Torch, Ray and transformers are looked through far less often: a tenth of the time.
gc.set_threshold(50_000, 20, 20)


# Started in the background of a script, tests would ignore interrupts, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults and clusters take minutes: but for the tests marked `quick` they are in `make faults`."""
    if "FAULTS" in os.environ:
        return
    tests = Path(__file__).parent
    lane = {tests / "faults", tests / "cluster"}  # tests/pipeline/cluster is not of it
    left_out = [item for item in items if item.path.parent in lane and not item.get_closest_marker("quick")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def ray_cluster(s3_server: str) -> Iterator[None]:
    """A local Ray; its workers inherit the S3 server's environment."""
    import ray

    from pipeline.cluster.session import start_local

    assert s3_server
    start_local(cores=3)
    yield
    ray.shutdown()


def png(width: int, height: int, color: str = "gray", mode: str = "RGB") -> bytes:
    """A plain PNG."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def scene_rows() -> Callable[[int], list[dict[str, Any]]]:
    """Rows of drawn scenes: id, image, caption, question, source."""

    def rows(count: int, seed: int = 11) -> list[dict[str, Any]]:
        rng = Random(seed)
        out = []
        for i in range(count):
            scene = scenes.random_scene(rng)
            out.append(
                {
                    "id": i * 3,
                    "image": scenes.encode(scenes.draw(scene, rng), rng),
                    "caption": scenes.caption(scene.things),
                    "question": questions.ask(scene, rng)[1],
                    "source": f"s{i % 3}",
                }
            )
        return out

    return rows


@pytest.fixture(scope="session")
def outputs(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: None, scene_rows: Callable[[int], list[dict[str, Any]]]
) -> Path:
    """A folder with `table` of 30 scenes, their `scores` and `answers`, and `filtered`, the best half of them."""
    del ray_cluster
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "outputs"  # one for all processes
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "filtered" / "_summary.json").exists():
            make_outputs(folder, scene_rows(30))
    return folder


@pytest.fixture
def write_table(tmp_path: Path) -> Callable[..., str]:
    """Write rows as Parquet files into a folder and give its path."""

    def write(rows: list[dict[str, Any]], files: int = 1, name: str = "table", **columns: pa.DataType) -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        table = pa.Table.from_pylist(rows)
        for column, kind in columns.items():
            table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
        size = -(-len(rows) // files)
        for i in range(files):
            pq.write_table(table.slice(i * size, size), folder / f"{i:03d}.parquet")
        return str(folder)

    return write


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server; the usual environment variables point to it."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment().items():
                patch.setenv(name, value)
            yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def s3_server(s3: S3Server) -> str:
    """The endpoint of the S3 server."""
    return s3.endpoint


@pytest.fixture(scope="session")
def prometheus_tools() -> Path:
    """The folder of `prometheus` and `promtool`."""
    try:
        return find_tools()
    except OSError as error:
        pytest.skip(f"Prometheus is not on PATH, and cannot be fetched: {error}")
