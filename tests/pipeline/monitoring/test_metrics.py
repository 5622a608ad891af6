"""What a real Prometheus finds when it scrapes a job is what the job says of itself."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml

from jobs.demo.s3_server import free_port
from pipeline.monitoring.metrics import METRICS, PREFIX
from tests.prometheus import Prometheus

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    find_spec("opencensus") is None, reason="Ray exports no metrics: ray[default] is not installed"
)


def write_table(rows: list[dict[str, Any]]) -> int:
    """A table on S3 whose images are named by URI, some of them broken; the bytes of the images that are there."""
    s3, size = s3fs.S3FileSystem(), 0
    s3.mkdir("watched")
    for i, row in enumerate(rows):
        image = {7: b"<html>", 8: None, 9: None}.get(i, row["image"])
        row["image"] = f"pictures/{i}.img"
        if image is not None:
            s3.pipe_file(f"watched/pairs/pictures/{i}.img", image)
            size += len(image)
    rows[3]["caption"] = " "
    pq.write_table(pa.Table.from_pylist(rows), "watched/pairs/a.parquet", filesystem=s3)
    return size


def shipped_config(folder: Path, port: int) -> str:
    """configs/deploy/prometheus.yml, for the Ray at `port`, every second."""
    (folder / "targets.json").write_text(json.dumps([{"labels": {"job": "ray"}, "targets": [f"127.0.0.1:{port}"]}]))
    values = yaml.safe_load((ROOT / "configs" / "deploy" / "prometheus.yml").read_text())
    values["global"]["scrape_interval"] = "1s"
    values["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(folder / "targets.json")]
    return yaml.safe_dump(values)


def test_a_running_job(
    tmp_path: Path, s3_server: str, prometheus_tools: Path, scene_rows: Callable[[int], list[dict[str, Any]]]
) -> None:
    assert s3_server
    size, port = write_table(scene_rows(160)), free_port()
    values = {
        "input": {"path": "s3://watched/pairs/", "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": "s3://watched/scores/", "report": False, "rows_per_file": 40},
        "batch": {"window_rows": 20, "tokens": 512},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, str(Path(__file__).with_name("watched_job.py")), str(tmp_path / "job.yaml"), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        (tmp_path / "job.log").open("w") as log,
        Prometheus(prometheus_tools, tmp_path, shipped_config(tmp_path, port)) as prometheus,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as job,
    ):
        assert job.stdout
        line = job.stdout.readline()
        assert line, (tmp_path / "job.log").read_text()[-3000:]
        summary, end = json.loads(line), time.monotonic() + 60
        last = f"sum({PREFIX}vilt_written_rows_total)"
        while prometheus.values(last) != {"": summary["pairs"]} and time.monotonic() < end:
            time.sleep(0.5)
        time.sleep(3)  # what other processes still have to report: two exports and a scrape
        check(prometheus, summary, size)


def check(prometheus: Prometheus, summary: dict[str, Any], size: int) -> None:
    def total(name: str, by: str = "") -> dict[str, float]:
        return prometheus.values(f"sum by ({by}) ({PREFIX}vilt_{name})", by)

    rejected = {"text_empty": 1, "image_unsupported": 1, "image_missing": 2}
    assert total("pairs_total", "outcome") == {"ok": 156, **rejected}
    assert (summary["pairs"], summary["scored"], summary["rejected"]) == (160, 156, rejected)
    assert total("rows_total") == total("written_rows_total") == {"": 160}
    assert total("model_pairs_total") == {"": 156}
    assert total("tokens_total") == {"": summary["tokens"]}
    assert total("written_files_total") == {"": len(summary["files"])}
    assert total("fetched_bytes_total") == {"": size}
    assert total("batch_fill_ratio_count") == total("batch_seconds_count") == {"": summary["micro_batches"]}
    seconds = total("stage_seconds_total", "stage")
    assert seconds["model"] == pytest.approx(summary["model_seconds"], abs=1e-3)
    assert seconds.keys() >= {"reading", "fetching", "decoding", "model", "writing"}
    assert all(value > 0 for value in seconds.values())
    runs = prometheus.ask(f"sum by (task, run, job) ({PREFIX}vilt_pairs_total)")
    assert [(one["metric"]["task"], one["metric"]["job"]) for one in runs] == [("score", "ray")]
    assert runs[0]["metric"]["run"] in summary["files"][0]
    gauges = {name: prometheus.values(f"max_over_time({PREFIX}vilt_{name}[5m])") for name in ("actors", "input_rows")}
    assert gauges == {"actors": {"": 1}, "input_rows": {"": 160}}, "seen while it ran"
    kinds = prometheus.ask(f'count by (__name__) ({{__name__=~"{PREFIX}vilt_.*"}})')
    assert {one["metric"]["__name__"] for one in kinds} >= {
        PREFIX + metric.name for metric in METRICS if metric.kind == "counter"
    }
