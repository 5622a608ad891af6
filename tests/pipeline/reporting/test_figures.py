"""The figures of a report: SVG that takes the page's colours, and hides nothing of the texts in it."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET

import pytest

from pipeline.reporting import figures
from pipeline.results.distribution import BINS, QUANTILES, Distribution


def scores(dropped: int) -> Distribution:
    edges = [i / BINS for i in range(BINS + 1)]
    return Distribution(1234, [0.5] * len(QUANTILES), edges, [2] * BINS, [dropped] * BINS)


def texts(svg: str) -> list[str]:
    return [text.strip() for element in ET.fromstring(svg).iter() if (text := element.text) and text.strip()]


def check(svg: str, title: str) -> None:
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert {"width", "height"}.isdisjoint(root.attrib), "it takes the width there is"
    assert "viewBox" in root.attrib
    assert title in texts(svg)
    assert "<metadata>" not in svg
    assert "var(--soft)" in svg
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]", svg), "every colour is the page's"


def test_a_histogram() -> None:
    svg = figures.histogram(scores(1), "score", 0.4)
    check(svg, "Histogram of 1,234 scores")
    assert {"score", "rows"} <= set(texts(svg))
    assert "kept" not in texts(svg), "the page has the legend, where no bar hides it"
    assert all(f"var({name})" in svg for name in ("--kept", "--dropped", "--line"))
    plain = figures.histogram(scores(0), "score", None)
    check(plain, "Histogram of 1,234 scores")
    assert "var(--dropped)" not in plain
    assert "var(--line)" not in plain


def test_bars() -> None:
    svg = figures.bars([('a < b & "c"', 3), ("$x_1$", 2), ("y" * 40, 1)], "Answers")
    check(svg, "Answers")
    assert {'a < b & "c"', "$x_1$", "y" * 27 + "…"} <= set(texts(svg)), "as they are, mathematics or not"


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0, "seconds"), (119, "seconds"), (120, "minutes"), (7200, "hours"), (2 * 86_400, "days")]
)
def test_progress(seconds: float, unit: str) -> None:
    svg = figures.progress([(1e9, 1000), (1e9 + seconds, 500)])
    check(svg, "1,500 rows over time")
    assert f"{unit} since 2001-09-09 01:46 UTC" in texts(svg)


def test_the_same_values_give_the_same_file() -> None:
    assert figures.histogram(scores(1), "score", 0.4) == figures.histogram(scores(1), "score", 0.4)


def test_legends_stand_outside_the_drawing() -> None:
    legend = [("kept", "--kept", ""), ("dropped", "--dropped", ""), ("lowest kept: 0.4", "--line", "stroke")]
    assert figures.legend_of(scores(1), 0.4) == legend
    assert figures.legend_of(scores(0), None) == []


def test_small_histograms() -> None:
    svg = figures.small_histogram([0, 4, 2], 'a "b" <c>')
    root = ET.fromstring(svg)
    assert texts(svg) == ['a "b" <c>']
    assert [float(one.attrib["height"]) for one in root if one.tag == "rect"] == [20, 10]
    assert figures.small_histogram([0, 0], "none").count("<rect") == 0


def test_density() -> None:
    svg = figures.density([(0, 0, 1), (3, 1, 100)], 4, ("score in A", "$x$"), [0.0, 1.0, -1.0, 1.0])
    check(svg, "Rows by both scores")
    assert {"score in A", "$x$"} <= set(texts(svg))
    assert "var(--kept)" in svg
    check(figures.density([(0, 0, 5)], 4, ("a", "b"), [2.0, 2.0, 3.0, 3.0]), "Rows by both scores")


def test_names_that_steer_a_terminal_are_written_out() -> None:
    """What a font lacks, matplotlib would name in a warning; half a character it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = figures.bars([("\x1b]0;x\x07", 3), ("\ud800", 2), ("$\\frac{$", 1)], "names")
    assert "\x1b" not in drawn
