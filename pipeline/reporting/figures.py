"""The figures of a report: matplotlib drawings as SVG text, for a page that needs nothing else."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pipeline.common.visible_text import visible
from pipeline.results.distribution import Distribution
from vilt.common.counts import counted

# Each colour stands for a variable of the page's style sheet, which has a light and a dark value for it.
INK, GRID, KEPT, DROPPED, LINE, PAGE = "#010101", "#020202", "#030303", "#040404", "#050505", "#050404"
VARIABLES = {
    INK: "--soft",
    GRID: "--border",
    KEPT: "--kept",
    DROPPED: "--dropped",
    LINE: "--line",
    PAGE: "--page",
}
STEPS = [1, 2, 2.5, 5, 10]  # of ticks
STYLE = {
    "svg.fonttype": "none",  # text as text: small, and read aloud
    "svg.hashsalt": "vilt",  # the same file for the same figures
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a "$" in a text is a "$"
}
_styled = matplotlib.rc_context(STYLE)  # type: ignore[arg-type]  # for all of a drawing: a text takes it when it is made


Legend = list[tuple[str, str, str]]  # name, variable of the colour, "" for an area or "stroke" for a line


@dataclass(frozen=True)
class Drawn:
    """A figure as the page shows it.

    Attributes:
        name: Its title.
        svg: The drawing.
        note: What stands below it.
        legend: What its colours mean, which the page shows above it, where no bar hides it.
    """

    name: str
    svg: str
    note: str = ""
    legend: Legend = field(default_factory=list)


@_styled
def histogram(scores: Distribution, name: str, threshold: float | None) -> str:
    """Draw rows by score: kept ones below dropped ones, and the lowest score that was kept; see `legend_of`."""
    figure, axes = _figure(2.4)
    width = scores.edges[1] - scores.edges[0]
    gaps: dict[str, Any] = {"align": "edge", "edgecolor": PAGE, "linewidth": 0.5}
    axes.bar(scores.edges[:-1], scores.kept, width, color=KEPT, **gaps)
    if sum(scores.dropped):
        axes.bar(scores.edges[:-1], scores.dropped, width, scores.kept, color=DROPPED, **gaps)
    if threshold is not None:
        axes.axvline(threshold, color=PAGE, linewidth=3.5)  # so that the line can be told from the bars
        axes.axvline(threshold, color=LINE, linewidth=1.8)
    axes.yaxis.set_major_locator(MaxNLocator("auto", steps=STEPS, integer=True))
    axes.set_xlabel(_short(name, 60))
    axes.set_ylabel("rows")
    return _svg(figure, f"Histogram of {counted(scores.rows, 'score')}")


def legend_of(scores: Distribution, threshold: float | None) -> Legend:
    """Return the legend of a histogram; none if all its bars are of one kind."""
    legend: Legend = []
    if sum(scores.dropped):
        legend += [("kept", VARIABLES[KEPT], ""), ("dropped", VARIABLES[DROPPED], "")]
    if threshold is not None:
        legend.append((f"lowest kept: {threshold:.4g}", VARIABLES[LINE], "stroke"))
    return legend


def small_histogram(counts: Sequence[int], title: str) -> str:
    """Draw bars without axes, as wide as there is room."""
    most = max(1, *counts)
    bars = "".join(
        f'<rect x="{number + 0.05:.2f}" y="{20 - 20 * count / most:.2f}" width="0.9" height="{20 * count / most:.2f}"/>'
        for number, count in enumerate(counts)
        if count
    )
    label = escape(title, {'"': "&quot;"})
    size = f'viewBox="0 0 {len(counts)} 20" preserveAspectRatio="none"'
    return f'<svg {size} role="img" aria-label="{label}" fill="var(--kept)"><title>{label}</title>{bars}</svg>'


@_styled
def density(counts: Sequence[tuple[int, int, int]], bins: int, names: tuple[str, str], ranges: Sequence[float]) -> str:
    """Draw how many rows have which pair of scores: the more, the larger the square.

    Args:
        counts: (bin of the first score, bin of the second, rows) for each pair of bins with rows.
        bins: Number of bins of each axis.
        names: Names of the two axes.
        ranges: Lowest and highest first score, lowest and highest second score.
    """
    figure, axes = _figure(4.0)
    low_a, high_a, low_b, high_b = ranges
    width, height = (high_a - low_a) / bins or 1.0, (high_b - low_b) / bins or 1.0
    most = max(count for _, _, count in counts)
    for at_a, at_b, count in counts:
        share = 0.25 + 0.75 * math.log1p(count) / math.log1p(most)  # of the side: one row can be seen, too
        x, y = low_a + width * (at_a + 0.5 - share / 2), low_b + height * (at_b + 0.5 - share / 2)
        axes.add_patch(Rectangle((x, y), width * share, height * share, color=KEPT, linewidth=0))
    axes.set_xlim(low_a, low_a + width * bins)
    axes.set_ylim(low_b, low_b + height * bins)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(_short(names[0], 60))
    axes.set_ylabel(_short(names[1], 45))
    return _svg(figure, "Rows by both scores")


@_styled
def bars(values: Sequence[tuple[str, int]], of: str) -> str:
    """Draw a horizontal bar for each name, the first on top."""
    figure, axes = _figure(0.5 + 0.22 * len(values))
    names = [_short(name, 28) for name, _ in values]
    axes.barh(range(len(values)), [count for _, count in values], color=KEPT)
    axes.set_yticks(range(len(values)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    return _svg(figure, of)


@_styled
def progress(steps: Sequence[tuple[float, int]]) -> str:
    """Draw how many rows were written over time.

    Args:
        steps: When rows were written, seconds since 1970, and how many; in order.
    """
    figure, axes = _figure(2.0)
    first = steps[0][0]
    unit, seconds = _unit(steps[-1][0] - first)
    rows = [0]
    for _, count in steps:
        rows.append(rows[-1] + count)
    times = [(at - first) / seconds for at, _ in steps]
    axes.step([times[0], *times], rows, where="post", color=KEPT)
    axes.set_ylim(0)
    axes.set_xlabel(f"{unit} since {time.strftime('%Y-%m-%d %H:%M', time.gmtime(first))} UTC")
    axes.set_ylabel("rows written")
    return _svg(figure, f"{counted(rows[-1], 'row')} over time")


def _short(name: str, most: int) -> str:
    name = visible(name[: most + 1])
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _unit(seconds: float) -> tuple[str, float]:
    """Return the unit of time in which a span reads best, and its length in seconds."""
    for name, size in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return name, size
    return "seconds", 1.0


def _figure(height: float) -> tuple[Figure, Axes]:
    """Return axes of a width that a phone shows without scaling, and of a height in inches."""
    figure = Figure(figsize=(4.6, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, title: str) -> str:
    """Return an <svg> element that takes the width there is, with a title for those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for color, name in VARIABLES.items():
        svg = svg.replace(color, f"var({name})")
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"|<metadata>.*?</metadata>', "", svg, flags=re.DOTALL)
