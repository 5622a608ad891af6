"""The figures of a report: matplotlib drawings as SVG text, for a page that needs nothing else."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.results.distribution import Distribution

# Each colour stands for a variable of the page's style sheet, which has a light and a dark value for it.
INK, GRID, KEPT, DROPPED, LINE = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "--soft", GRID: "--border", KEPT: "--kept", DROPPED: "--dropped", LINE: "--line"}
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


@_styled
def histogram(scores: Distribution, name: str, threshold: float | None) -> str:
    """Draw rows by score: kept ones below dropped ones, and the lowest score that was kept."""
    figure, axes = _figure(2.4)
    width = scores.edges[1] - scores.edges[0]
    axes.bar(scores.edges[:-1], scores.kept, width, align="edge", color=KEPT, label="kept")
    if sum(scores.dropped):
        axes.bar(scores.edges[:-1], scores.dropped, width, scores.kept, align="edge", color=DROPPED, label="dropped")
    if threshold is not None:
        axes.axvline(threshold, color=LINE, linewidth=1.5, label="lowest kept")
        axes.legend(frameon=False)
    axes.set_xlabel(name)
    axes.set_ylabel("rows")
    return _svg(figure, f"Histogram of {scores.rows:,} scores")


@_styled
def bars(values: Sequence[tuple[str, int]], of: str) -> str:
    """Draw a horizontal bar for each name, the first on top."""
    figure, axes = _figure(0.5 + 0.22 * len(values))
    names = [name if len(name) <= 28 else f"{name[:27]}…" for name, _ in values]
    axes.barh(range(len(values)), [count for _, count in values], color=KEPT)
    axes.set_yticks(range(len(values)), names)
    axes.invert_yaxis()
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
    return _svg(figure, f"{rows[-1]:,} rows over time")


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
