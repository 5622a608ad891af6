"""Counts in messages: one is one, and several are several; no message writes a plural beside a count by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vilt.common.counts import counted

ROOT = Path(__file__).parents[3]
NOUNS = "files|rows|pairs|texts|ids|images|shards|nodes|scenes|tars|cores|pictures|values|columns|tokens|labels|objects"
COUNT = re.compile(r"\{[^{}!]*\} (?:[a-z]+ )?(?:" + NOUNS + r")\b")
# In a line with one of these stands no count, or one that is more than one.
CONSTANTS = ("MOST", "MAX_", "FEWEST", "shards are numbered", "limits.")
NO_COUNTS = (
    "counted(",
    "{sorted(counts)}",
    "tokens:,.0f}",
    "%} good",
    "/s",
    " else f",
    "{v}s",
    "{n: ",
    "{last} files",
    "has rows that",
)
OTHERS = (*CONSTANTS, *NO_COUNTS, "full, of {plan", "%} of pairs", "has rows that")


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2000, ("row",), "2,000 rows"),
        (1, ("row was read", "rows were read"), "1 row was read"),
        (2, ("row was read", "rows were read"), "2 rows were read"),
    ],
)
def test_one_is_one(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


def test_no_message_has_a_plural_of_its_own() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("vilt", "pipeline", "jobs")
        for path in (ROOT / package).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if COUNT.search(line) and not any(word in line for word in OTHERS)
    ]
    assert not found
