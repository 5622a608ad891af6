"""The files for Prometheus and Grafana name what the code exports, and are what these programs read."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pipeline.monitoring.metrics import METRICS, PREFIX, SHARED_LABELS, Metric
from pipeline.monitoring.stage_timing import STAGES
from tests.prometheus import Prometheus

DEPLOY = Path(__file__).parent.parent / "configs" / "deploy"
PANELS: list[dict[str, Any]] = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
SERIES = {PREFIX + metric.name + end: metric for metric in METRICS for end in ("", "_bucket", "_count", "_sum")}
NAMES = re.compile(r"\bray_\w+")


def test_the_table_of_metrics() -> None:
    def line(metric: Metric) -> str:
        cells = [f"`{PREFIX}{metric.name}`", metric.kind, metric.unit]
        cells += [", ".join(f"`{label}`" for label in metric.labels), metric.meaning]
        return " ".join(["|", *(f"{cell} |" if cell else "|" for cell in cells)])

    text = (DEPLOY.parents[1] / "docs" / "reference" / "metrics.md").read_text()
    assert [row for row in text.splitlines() if row.startswith("| `")] == [line(metric) for metric in METRICS]
    assert all(f"`{label}`" in text for label in SHARED_LABELS)


def test_names_are_as_prometheus_wants_them() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"vilt_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        if metric.unit in ("seconds", "bytes", "ratio"):
            assert metric.unit in metric.name
        assert bool(metric.boundaries) == (metric.kind == "histogram")
        assert list(metric.boundaries) == sorted(set(metric.boundaries))
        assert not set(metric.labels) & {*SHARED_LABELS, "job", "instance", "le"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(expression: str) -> None:
    found = [SERIES[name] for name in NAMES.findall(expression)]
    assert found
    for metric, end in ((SERIES[name], name.rpartition("_")[2]) for name in NAMES.findall(expression)):
        assert (end in ("bucket", "count", "sum")) == (metric.kind == "histogram"), metric.name
    known = {*SHARED_LABELS, "le", *(label for metric in found for label in metric.labels)}
    used = re.findall(r"(\w+)\s*!?=~?\s*\"", expression)
    used += [label for group in re.findall(r"by \(([\w, ]+)\)", expression) for label in group.split(", ")]
    assert set(used) <= known
    assert set(re.findall(r'stage="(\w+)"', expression)) <= set(STAGES)


def test_prometheus_understands_every_expression(tmp_path: Path, prometheus_tools: Path) -> None:
    with Prometheus(prometheus_tools, tmp_path, "") as prometheus:
        for expression in EXPRESSIONS:
            prometheus.ask(expression.replace("$run", ".*").replace("$__rate_interval", "1m"))


def test_every_metric_is_on_the_dashboard() -> None:
    assert {SERIES[name] for expression in EXPRESSIONS for name in NAMES.findall(expression)} == set(METRICS)


def test_panels_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    boxes = {panel["title"]: panel["gridPos"] for panel in PANELS}
    assert len(boxes) == len(PANELS)
    for box in boxes.values():
        assert box["x"] >= 0
        assert box["x"] + box["w"] <= 24
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart |= a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, f"{one} and {other}"


def test_prometheus_reads_its_config(prometheus_tools: Path) -> None:
    command = [str(prometheus_tools / "promtool"), "check", "config", str(DEPLOY / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
