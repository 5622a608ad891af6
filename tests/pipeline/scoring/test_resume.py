"""Jobs that go on, are tried again, or have nothing left to do."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch

from pipeline import ConfigError, JobConfig, run
from pipeline.common.errors import BusyError
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import prepare
from pipeline.scoring.run import run_job
from pipeline.storage.filesystem import open_fsspec
from pipeline.storage.lock import RunLock
from tests.pipeline.scoring.flowless import without_ray
from vilt.common.folder import ZOO

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]


class Pictures(ThreadingHTTPServer):
    """Serves pictures; those in `hanging` never arrive."""

    def __init__(self, pictures: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pictures, self.hanging = pictures, set[str]()
        self.ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Pictures

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name in self.server.hanging:
            self.server.ended.wait(5)
        data = self.server.pictures[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def pictures(scene_rows: Callable[[int], Rows]) -> Iterator[Pictures]:
    server = Pictures({f"{i}.img": row["image"] for i, row in enumerate(scene_rows(24))})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.ended.set()
    server.shutdown()


def job(table: str, out: Path, **keys: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "caption", "id": "id", **keys},
        "model": "zoo://scenes",
        "output": {"path": str(out), "report": False, "rows_per_file": 6},
        "limits": {"fetch_seconds": 1},
        "batch": {"window_rows": 6},
        "max_error_rate": 1,
    }
    return JobConfig.parse("score", values)


def test_only_rows_whose_error_may_pass_are_tried_again(
    tmp_path: Path, pictures: Pictures, scene_rows: Callable[[int], Rows], write_table: Callable[..., str]
) -> None:
    rows, web = scene_rows(24), f"http://127.0.0.1:{pictures.server_port}/"
    for i, row in enumerate(rows):
        row["image"] = f"{web}{i}.img"
        row["caption"] = [row["caption"], None, "a red star"] if i % 2 else [row["caption"]]
    rows[20]["image"] = "https://elsewhere/x.img"
    config = job(write_table(rows), tmp_path / "out", allow=[web], allow_private=True)
    pictures.hanging = {"1.img", "2.img", "9.img"}
    first = run(config)
    assert first.rejected == {"text_null": 10, "fetch_timeout": 7, "uri_not_allowed": 1}
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    pictures.hanging = set()
    second = run(config, retry_errors=True)
    assert second.rejected == {"text_null": 12, "uri_not_allowed": 1}
    assert (second.rows_in, second.rows_out, second.resumed_rows, second.pairs) == (24, 24, 21, 48)
    out = pq.read_table(tmp_path / "out").to_pylist()
    assert sorted((row["id"], row["text_index"]) for row in out) == [
        (i * 3, text) for i in range(24) for text in range(3 if i % 2 else 1)
    ]
    assert all((row["score"] is None) == (row["error"] is not None) for row in out)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert before.items() & after.items(), "files without such rows stay as they are"
    with pytest.raises(
        ConfigError, match=r"max_error_rate: 0\.1, but 13 of 48 results in .* are rejected; they stay as"
    ):
        run(config.model_copy(update={"max_error_rate": 0.1}))
    third = run(config, retry_errors=True)
    assert (third.finished_before, third.rejected) == (True, second.rejected)


def test_two_runs_at_once_the_same_job_again_and_another_input(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_ray(monkeypatch, part_rows=6)
    rows = scene_rows(6)
    table = write_table(rows)
    config = job(table, tmp_path / "out")
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    with (
        RunLock(filesystem, f"{path}/_progress/lock.json"),
        pytest.raises(BusyError, match="is at work on this output; wait until it has ended"),
    ):
        run(config)
    first = run(config)
    assert first.scored == 6
    again = run(job(table, tmp_path / "out"))
    assert again.finished_before
    assert again.files == first.files
    pq.write_table(pa.Table.from_pylist(rows[:5]), f"{table}/000.parquet")
    with pytest.raises(ConfigError, match=r"already holds 1 \.parquet file;"):
        run(job(table, tmp_path / "out"))


def test_ids_are_counted_by_the_first_run_alone(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_ray(monkeypatch)
    config = job(
        write_table([{**row, "id": None if i == 1 else 7} for i, row in enumerate(scene_rows(4))]), tmp_path / "out"
    )
    caplog.set_level("WARNING", "pipeline")
    for warnings in (1, 0):
        caplog.clear()
        assert run(config).finished_before == (not warnings)
        found = [record.getMessage() for record in caplog.records if "input.id" in record.getMessage()]
        line = "input.id: column 'id' is null in 1 row and has 1 id that stands in several rows, 3 in all: by row_id"
        assert [text.startswith(line) for text in found] == [True] * warnings


def test_weights_that_are_replaced_under_a_job(tmp_path: Path, scene_rows: Any, write_table: Any) -> None:
    """The results would be of two models under the name of the first."""
    model = tmp_path / "model"
    shutil.copytree(ZOO / "scenes", model)
    config = job(write_table(scene_rows(6)), tmp_path / "out").model_copy(update={"model": str(model)})
    prepared_job, weights = prepare(config), (model / "model.safetensors").read_bytes()
    tensors = safetensors.torch.load(weights)
    name = next(iter(tensors))
    safetensors.torch.save_file({**tensors, name: tensors[name] + 1}, model / "model.safetensors")
    with pytest.raises(ConfigError, match=r"^model: the weights of '.*model' were replaced while the job ran, whose"):
        run_job(prepared_job, ParquetOutput(prepared_job))
    (model / "model.safetensors").write_bytes(weights)
    assert run(config).scored == 6
