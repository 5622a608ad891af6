"""Links, paths, code and lists in the documents lead to something."""

import ast
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import JobConfig
from pipeline.config.filter import FilterConfig
from tests.test_layers import FLOORS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("vilt/**/*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PLACE = re.compile(
    r"`((?:vilt|pipeline|jobs|tests|configs|docs|examples|benchmarks)/[\w./-]*|[\w-]+\.(?:md|toml)|constraints\.txt)`"
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def blocks(page: Path, language: str) -> list[str]:
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, kind, text in FENCE.findall(page.read_text())
        if kind == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    missing = [
        path
        for path in PLACE.findall(page.read_text())
        if not any((base / path).exists() for base in (ROOT, page.parent))
    ]
    assert missing == [], name(page)


def test_how_to_add_names_what_is_in_the_files() -> None:
    """Of each step in CONTRIBUTING, every name of code is in one of the files that the step names."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## How to add")[2].partition("\n## ")[0]
    steps = re.split(r"\n(?=\d\. |\n### )", text)
    checked = 0
    for step in steps:
        named = [ROOT / path for path in PLACE.findall(step)]
        files = [file for path in named for file in (path.rglob("*.py") if path.is_dir() else [path])]
        words = {word for file in files for word in re.findall(r"\w+", file.read_text())}
        for code in re.findall(r"`([A-Za-z_]\w*)=?`", step) if files else []:
            assert code in words, f"{code} is in none of the files of: {step.strip()[:60]}"
            checked += 1
    assert checked > 15


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_can_be_read(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)
    for text in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name(page)}: {done.stderr}"
    for text in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(text), dict)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in PAGES if "docs" in page.relative_to(ROOT).parts} - {index} <= linked


def test_the_readme_is_short_and_its_picture_is_small() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 300_000


def test_the_readme_config_is_valid() -> None:
    block = re.search(r"`job\.yaml`:\n\n((?:    .+\n)+)", (ROOT / "README.md").read_text())
    assert block
    JobConfig.parse("score", yaml.safe_load(block[1]))


def test_keys_in_the_how_to_pages_are_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("S3_KEY", "S3_SECRET"):
        monkeypatch.setenv(secret, "x")
    base: dict[str, Any] = {"input": {"path": "in"}, "model": "zoo://scenes", "output": {"path": "out"}}
    for text in blocks(ROOT / "docs" / "how-to" / "s3.md", "yaml"):
        JobConfig.parse("score", {**base, **yaml.safe_load(text)})
    for texts in blocks(ROOT / "docs" / "how-to" / "rank.md", "yaml"):
        JobConfig.parse("rank", {**base, "input": {"path": "in", "id": "id"}, **yaml.safe_load(texts)})
    jobs = blocks(ROOT / "docs" / "how-to" / "filter.md", "yaml")
    assert len(jobs) >= 2
    for job in jobs:
        FilterConfig.checked(
            {"input": {"path": "in"}, "output": {"path": "out"}, "keep": {"top": 0.5}, **yaml.safe_load(job)}
        )


def test_the_picture_has_every_room() -> None:
    root = ET.parse(ROOT / "docs" / "images" / "architecture.svg").getroot()
    words = {text.strip("/") for node in root.iter() if (text := (node.text or "").strip())}
    for package, floors in FLOORS.items():
        assert {package, *(room for floor in floors for room in floor)} <= words


def test_every_event_is_on_the_page() -> None:
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    sources = [path.read_text() for package in ("pipeline", "jobs") for path in (ROOT / package).rglob("*.py")]
    named = re.compile(r"""\b(?:tell|emit)\w*\(\s*"(\w+)"|"event": "(\w+)\"""")
    events = {event for text in sources for both in named.findall(text) for event in both if event}
    assert {"job_started", "progress", "job_finished", "failed"} <= events
    assert all(f"| `{event}` |" in page for event in events), events


def test_the_changelog_knows_the_version() -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    heads = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [head for head, _ in heads][:2] == ["Unreleased", version]
    assert all(date for head, date in heads if head != "Unreleased")
    kinds = set(re.findall(r"^### (\w+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_lanes_are_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\| `make (\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)) == targets - {
        "demo",
        "quality",
        "clean",
    }


def test_pre_commit_runs_what_make_lint_runs() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = {re.sub(r"^\.venv/bin/| --fix", "", hook["entry"]) for hook in repo["hooks"]}
    (lint,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = {re.sub(r"\$\(BIN\)/| \.$| --check \.$", "", line.strip()) for line in lint.splitlines()}
    assert entries == commands
