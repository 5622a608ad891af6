"""Render the pages of reports: templates, and what all of them show at the top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipeline.config.storage import StorageConfig
from pipeline.results.file_footer import ResultFile
from pipeline.results.untrusted import LATEST
from pipeline.storage.failures import write_named


def render(template: str, **values: Any) -> str:
    """Return a page: a template of this folder with its values, all of them escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template(template).render(**values).lstrip()


def write_page(page: str, target: str, storage: StorageConfig) -> None:
    """Write a page to a URI; a file that is there is replaced.

    Raises:
        ConfigError: It cannot be written.
    """
    write_named(target, "--out", page.encode("utf-8", "backslashreplace"), storage)


def made_lines(summary: Mapping[str, Any], parts: Iterable[ResultFile] = ()) -> list[tuple[str, str]]:
    """Return what was read, when, and by which command, as far as an output says.

    Args:
        summary: The summary of the output.
        parts: Its files, which say when they were written if the summary does not.
    """
    spec, version = summary.get("input", {}), ""
    if spec.get("version") is not None or spec.get("timestamp") is not None:
        version = f", version {spec.get('version') or spec.get('timestamp')}"
    done = summary.get("finished_at") or max((part.at for part in parts), default=0.0)
    lines = [
        ("read", f"{spec['path']}{version}" if spec.get("path") else ""),
        ("finished", utc(done) if done else ""),
        ("model", summary["lineage"].get("vilt.model", "")),
        ("command", summary.get("command") or ""),
    ]
    return [(name, value) for name, value in lines if value]


def config_text(summary: Mapping[str, Any]) -> str:
    """Return the config of an output as YAML; of outputs that do not hold it the section `input` alone."""
    values = summary.get("config") or ({"input": summary["input"]} if summary.get("input") else {})
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000) if values else ""


def utc(seconds: float) -> str:
    """Return a time since 1970 as a date; "" if no calendar has it."""
    if not 0 <= seconds < LATEST:
        return ""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
