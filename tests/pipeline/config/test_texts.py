"""Section `texts`."""

from __future__ import annotations

import pytest

from pipeline import ConfigError, JobConfig


def test_texts_are_for_rank() -> None:
    values = {"input": {"path": "in/"}, "model": "m", "output": {"path": "out/"}}
    with pytest.raises(ConfigError, match="texts: missing; rank reads a table of texts"):
        JobConfig.parse("rank", values)
    with pytest.raises(ConfigError, match=r"texts: only rank reads it; score reads the texts in input\.text"):
        JobConfig.parse("score", {**values, "texts": {"path": "t"}})
    with pytest.raises(ConfigError, match=r"texts\.candidates: names texts and images by their ids; set texts\.id and"):
        JobConfig.parse("rank", {**values, "texts": {"path": "t", "candidates": "c"}})
