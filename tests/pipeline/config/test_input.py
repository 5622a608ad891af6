"""Section `input`: paths, prefixes and hosts."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.input import InputConfig


@pytest.mark.parametrize(
    "keys",
    [
        {"allow": ["/photos/", "s3://b/", "https://host/a", "https://*", "http://*/"]},
        {"allow": ["http://host/"], "allow_private": True},
        {"allow": ["s3://b/a*b"]},
        {"image": None, "text": None},
        {"text": {"score": "a", "answer": "b"}},
        {"text": ["caption", "alt"]},
    ],
)
def test_sections_that_are_right(keys: dict[str, Any]) -> None:
    InputConfig.checked({"path": "in/", **keys})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"text": []}, "input.text: []: name one column or several, each once"),
        ({"text": ["a", "a"]}, "input.text: ['a', 'a']: name one column or several, each once"),
        ({"path": "http://host/a/../b"}, "input.path: 'http://host/a/../b' cannot be used: a path with '..'"),
        (
            {"allow": ["https://me:secret@host/?key=1"]},
            "input.allow: 'https://host/?key=***' cannot be used: a URL with a user name",
        ),
        (
            {"allow": ["https://*.org/"]},
            "input.allow: 'https://*.org/' is taken as it stands, '*' too; give the start of the URLs, or https://* "
            "for "
            "every public host",
        ),
        (
            {"allow": ["https://*"], "allow_private": True},
            "input.allow: 'https://*' is every public host; with input.allow_private name the servers",
        ),
        (
            {"allow": ["s3://b"], "allow_private": True},
            "input.allow_private: true, but input.allow names no http:// or https:// prefix; list the internal servers "
            "there",
        ),
        (
            {"text": {"scor": "a"}},
            "text: 'scor' is wrong; input should be 'score', 'answer', 'fill', 'reason', 'tag', "
            "'embed', 'classify' or 'rank'",
        ),
    ],
)
def test_sections_that_are_wrong(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        InputConfig.checked({"path": "in/", **keys})
    assert str(caught.value) == f"config: {message}"


def test_a_relative_prefix_says_what_to_write() -> None:
    with pytest.raises(
        ConfigError, match=r"^config: input\.allow: 'photos/' matches no image, .*: write '/.*/photos',"
    ):
        InputConfig.checked({"path": "in/", "allow": ["photos/"]})
