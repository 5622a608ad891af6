"""`vilt report`: one page that needs nothing else, safe whatever the texts hold, and readable on a phone."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from PIL import Image
from typer.testing import CliRunner

from jobs.cli import app
from jobs.commands.batch import run_file
from jobs.commands.report import make_report, write_report
from pipeline.config.job import StorageConfig

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = 390, 1280  # pixels


def page_of(folder: Path) -> str:
    return make_report(str(folder), StorageConfig())


def thumbnails(page: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("scores", ["Histogram of 28 scores", "Nearest to the median", "image_unsupported", "Grids", "Rows over time"]),
        ("answers", ["Answers by frequency", "answer_score", "Best", "Worst", "At random"]),
        ("filtered", ["Nearest to the cut", "not in the top 50%", "Dropped rows", "zoo://scenes"]),
    ],
)
def test_what_is_in_it(outputs: Path, name: str, parts: list[str]) -> None:
    page = page_of(outputs / name)
    for part in parts:
        assert part in page
    pictures = thumbnails(page)
    assert len(pictures) == 32, "eight of each kind"
    assert max(Image.open(io.BytesIO(data)).size for data in pictures) <= (240, 240)
    assert len(page) < 1_000_000


@pytest.mark.parametrize("name", ["scores", "answers", "filtered"])
def test_nothing_in_it_runs_or_needs_a_network(outputs: Path, name: str) -> None:
    page = page_of(outputs / name)
    assert "<script" not in page
    assert not re.findall(r"<[^>]*\bon\w+\s*=", page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert not re.findall(r"@import|url\((?!#)", page)
    if name != "answers":
        assert "&lt;script&gt;" in page


@pytest.mark.usefixtures("ray_cluster")
def test_pictures_by_uri_and_without_a_table(
    tmp_path: Path,
    ray_cluster: None,
    scene_rows: Callable[[int], list[dict[str, Any]]],
    write_table: Callable[..., str],
) -> None:
    del ray_cluster
    rows = scene_rows(6)
    table = Path(write_table(rows))
    for row in rows:
        (table / f"{row['id']}.img").write_bytes(row["image"])
        row["image"] = f"{row['id']}.img"
    write_table(rows)
    values = {
        "input": {"path": str(table), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    assert run_file("score", str(tmp_path / "job.yaml"), []) == 0
    page = (tmp_path / "out" / "_report.html").read_text()
    assert len(thumbnails(page)) == 4 * 6
    assert (
        run_file("score", str(tmp_path / "job.yaml"), ["output.path=" + str(tmp_path / "b"), "output.report=no"]) == 0
    )
    assert not (tmp_path / "b" / "_report.html").exists()
    shutil.rmtree(table)
    page = page_of(tmp_path / "out")
    assert "Pictures are left out: input.path: " in page
    assert "Histogram of 6 scores" in page


def test_a_report_that_fails_does_not_fail_the_job(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no space\nleft")

    monkeypatch.setattr("jobs.commands.report.make_report", broken)
    values = {
        "input": {"path": str(outputs / "table")},
        "scores": str(outputs / "scores"),
        "keep": {"top": 0.1},
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "filter.yaml").write_text(yaml.safe_dump(values))
    done = CliRunner().invoke(app, ["filter", str(tmp_path / "filter.yaml")])
    assert done.exit_code == 0
    assert "kept        3 (10.0%)" in done.stdout
    assert done.stderr == "no report: no space left\n"
    assert len(pq.read_table(tmp_path / "out" / "kept")) == 3


def test_on_s3_and_into_a_file(outputs: Path, tmp_path: Path, s3_server: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("reported")
    s3.put(str(outputs / "scores"), "reported/scores", recursive=True)
    assert write_report("s3://reported/scores/", StorageConfig()) == "s3://reported/scores/_report.html"
    assert len(thumbnails(s3.cat_file("reported/scores/_report.html").decode())) == 32
    done = CliRunner().invoke(app, ["report", "s3://reported/scores", "--out", str(tmp_path / "a" / "r.html")])
    assert done.exit_code == 0
    assert (tmp_path / "a" / "r.html").read_text().startswith("<!doctype html>")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("name", ["scores", "answers", "filtered"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_in_a_browser(outputs: Path, tmp_path: Path, name: str, width: int) -> None:
    """Nothing is wider than the window, every picture is drawn, and no text of the table has run."""
    probe = """<script>
        const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth);
        const drawn = [...document.images].filter(i => i.naturalWidth > 0).length;
        document.documentElement.dataset.probe =
            [innerWidth, document.documentElement.scrollWidth, wide.length, drawn, document.title].join(";");
    </script>"""
    file = tmp_path / "report.html"
    file.write_text(page_of(outputs / name) + probe)
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        "--dump-dom",
        file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr
    inner, scroll, wide, drawn, title = found[1].split(";", 4)
    assert int(inner) <= max(width, 500)
    assert int(scroll) <= int(inner)
    assert (wide, drawn) == ("0", "32")
    assert title.endswith(str(outputs / name))
