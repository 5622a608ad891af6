"""Text from data, made safe for a terminal, a text log and JSON lines."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.console.text import UNSAFE, json_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 画像, नमस्ते", "plain, Grüße, 画像, नमस्ते"),
        ("no-break\u00a0and\u3000wide spaces", "no-break\u00a0and\u3000wide spaces"),
        ("\N{MAN}\u200d\N{WOMAN}\ufe0f", "\N{MAN}\u200d\N{WOMAN}\ufe0f"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("gpj.\u202eexe \u2066x\u2069", r"gpj.\u202eexe \u2066x\u2069"),
        ("zero\u200bwidth\ufeff\u00ad", r"zero\u200bwidth\ufeff\xad"),
        ("half \ud83d, name \udcff.png", r"half \ud83d, name \udcff.png"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in UNSAFE for c in shown if c not in "\u200c\u200d")
    shown.encode()
    assert visible(shown) == shown


def test_json_is_one_line_of_ascii_whatever_the_values() -> None:
    values = {"a": float("nan"), "b": [float("inf"), 1.5], "c": 'x\n{"event": "failed"}\u202e\u2028', "d": {3: object}}
    line = json_line(values)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"a": None, "b": [None, 1.5], "c": values["c"], "d": {"3": str(object)}}
