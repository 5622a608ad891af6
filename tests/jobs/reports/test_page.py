"""The page of a report: it needs nothing else, is safe whatever the texts hold, and readable on a phone."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from jobs.reports.page import make_report
from pipeline.config.storage import StorageConfig
from pipeline.reporting.pictures import Access
from tests.jobs.conftest import thumbnails

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = 390, 1280  # pixels


def page_of(folder: Path) -> str:
    return make_report(str(folder), StorageConfig(), Access([str(folder.parent / "table")]))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("scores", ["Histogram of 28 scores", "Nearest to the median", "image_unsupported", "Grids", "Rows over time"]),
        ("answers", ["Answers by frequency", "answer_score", "Best", "Worst", "At random"]),
        ("filtered", ["Nearest to the threshold", "not in the top 50%", "Dropped rows", "zoo://scenes"]),
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
