"""Text from data, made safe for a terminal, a text log and JSON lines."""

import ast
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.console.tables import columns, counts, facts, lines, stacked, to_text
from jobs.console.text import json_line, visible
from pipeline.common.visible_text import UNSAFE

ROOT = Path(__file__).parents[3]
SAFE_CALLS = ("visible", "json_line", "to_text")


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


@given(st.lists(st.text(st.characters()), min_size=3, max_size=3))
def test_tables_show_any_text_as_harmless_lines(texts: list[str]) -> None:
    a, b, c = texts
    parts = [facts([(a, b)]), counts([(1, c)]), columns([a, b], [[b, c]]), lines(a, "[red]" + b)]
    shown = to_text(stacked(parts))
    assert not any(unicodedata.category(char) in UNSAFE for char in shown if char not in "\n\u200c\u200d")
    assert len(shown.splitlines()) <= 6
    assert "[red]" in shown


def calls() -> Iterator[tuple[str, ast.Call]]:
    for package in ("jobs", "pipeline", "vilt"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield path.relative_to(ROOT).as_posix(), node


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def test_whatever_is_printed_passes_one_function() -> None:
    for file, call in calls():
        where = f"{file}:{call.lineno}"
        if isinstance(call.func, ast.Name) and call.func.id in ("print", "input"):
            for argument in call.args:
                safe = isinstance(argument, ast.Call) and name_of(argument.func) in SAFE_CALLS
                assert safe or isinstance(argument, ast.Constant), where
        if name_of(call.func) == "write" and isinstance(call.func, ast.Attribute):
            assert name_of(call.func.value) not in ("stdout", "stderr"), where
        assert name_of(call.func) not in ("from_markup", "echo", "secho"), where


def test_rich_is_given_text_that_it_does_not_interpret() -> None:
    for file, call in calls():
        where = f"{file}:{call.lineno}"
        if name_of(call.func) in ("Console", "TextColumn"):
            switches = {keyword.arg: keyword.value for keyword in call.keywords}
            markup = switches.get("markup")
            assert isinstance(markup, ast.Constant), where
            assert markup.value is False, where
        if isinstance(call.func, ast.Name) and call.func.id in ("Text", "Console"):
            assert file.startswith("jobs/console/"), where
        if name_of(call.func) in ("basicConfig", "StreamHandler", "RichHandler"):
            assert file == "jobs/console/log.py", where
