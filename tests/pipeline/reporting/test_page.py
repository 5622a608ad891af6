"""The page of a report: it needs nothing else, is safe whatever the texts hold, and readable on a phone."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.comparison import compare
from pipeline.reporting.comparison_page import comparison_page
from pipeline.reporting.page import make_report
from tests.outputs import thumbnails

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = 390, 1280  # pixels


def page_of(folder: Path, by: str | None = None) -> str:
    return make_report(str(folder), StorageConfig(), Access([str(folder.parent / "table")]), by)[0]


def compared(outputs: Path) -> str:
    """The page of scores compared with themselves."""
    out = str(outputs / "scores")
    return comparison_page(compare(out, out, StorageConfig()), StorageConfig(), Access())[0]


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
    assert f"<dt>read</dt><dd>{outputs / 'table'}</dd>" in page
    assert re.search(r"<dt>finished</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d UTC</dd>", page)
    assert "<summary>Config</summary><pre>" in page
    assert f"input:\n  path: {outputs / 'table'}\n" in page
    assert len(re.findall(r"row_id -?\d+<br>\d\.parquet, row \d", page)) == 32, "key, file and row of each card"
    assert page.count("<details><summary>4 more</summary>") == 4, "a screen of each kind, the rest is folded"
    pictures = thumbnails(page)
    assert len(pictures) == 32, "eight of each kind"
    assert max(Image.open(io.BytesIO(data)).size for data in pictures) <= (240, 240)
    assert len(page) < 1_000_000


def test_footers_are_read_once(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reporting.page.open_results", None)
    assert "Rows over time" in page_of(outputs / "scores")


@pytest.mark.parametrize("name", ["scores", "answers", "filtered"])
def test_nothing_in_it_runs_or_needs_a_network(outputs: Path, name: str) -> None:
    page = page_of(outputs / name)
    assert "<script" not in page
    assert not re.findall(r"<[^>]*\bon\w+\s*=", page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert not re.findall(r"@import|url\((?!#)", page)
    assert page.startswith("<!doctype html>")
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:" in page
    if name != "answers":
        assert "&lt;script&gt;" in page


def luminance(color: str) -> float:
    """Relative luminance, by WCAG 2."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colors_can_be_read(theme: int, outputs: Path) -> None:
    page = page_of(outputs / "filtered")
    named = [dict(re.findall(r"(--\w+): (#\w{6})", block)) for block in re.findall(r":root {(.*?)}", page, re.DOTALL)]
    assert len(named) == 2
    colors = named[theme]
    assert set(re.findall(r"var\((--\w+)\)", page)) <= set(colors)
    for text in ("--text", "--soft", "--link"):
        for ground in ("--page", "--panel"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    assert contrast(colors["--line"], colors["--page"]) >= 4.5, "the mark where a text was cut"
    for drawn in ("--kept", "--dropped", "--line"):
        for ground in ("--page", "--panel"):
            assert contrast(colors[drawn], colors[ground]) >= 3, (drawn, ground)
        assert f"var({drawn})" in page
    assert contrast(colors["--kept"], colors["--dropped"]) >= 3, "bars that stand on each other"
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]", page), "no colour of a figure is left without its variable"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("name", "pictures"), [("scores", 32), ("answers", 32), ("filtered", 32), ("compared", 0)])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_in_a_browser(outputs: Path, tmp_path: Path, name: str, width: int, pictures: int) -> None:
    """Nothing is wider than the window, every picture is drawn, and no text of the table has run."""
    probe = """<script>
        document.querySelectorAll("details").forEach(one => one.open = true);
        const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth);
        const drawn = [...document.images].filter(i => i.naturalWidth > 0).length;
        document.documentElement.dataset.probe =
            [innerWidth, document.documentElement.scrollWidth, wide.length, drawn, document.title].join(";");
    </script>"""
    file = tmp_path / "report.html"
    report = (
        compared(outputs) if name == "compared" else page_of(outputs / name, "source" if name == "scores" else None)
    )
    page, policies = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report)
    assert policies == 1, "without it the probe can run, and so could a text"
    file.write_text(page + probe)
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr
    inner, scroll, wide, drawn, title = found[1].split(";", 4)
    assert int(inner) <= max(width, 500)
    assert int(scroll) <= int(inner)
    assert (wide, drawn) == ("0", str(pictures))
    assert title.endswith(str(outputs / ("scores" if name == "compared" else name)))
