"""Sections `actors`, `limits`, `batch` and `ray`."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.base import Section
from pipeline.config.limits import LimitsConfig
from pipeline.config.resources import ActorsConfig, BatchConfig, RayConfig


@pytest.mark.parametrize(
    "values",
    [{}, {"count": 2}, {"max": 4}, {"min": 2, "max": 2}, {"gpus": 0.5}, {"gpus": 2}, {"gpus": 0}, {"cpus": 3}],
)
def test_actors_that_are_right(values: dict[str, Any]) -> None:
    ActorsConfig.checked(values)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (ActorsConfig, {"min": 2}, "actors.min: set without actors.max; give both, or actors.count"),
        (
            ActorsConfig,
            {"count": 2, "max": 3},
            "actors.count: set beside actors.max; a pool has one size, or a least and a most",
        ),
        (ActorsConfig, {"min": 4, "max": 3}, "actors.max: 3 is less than actors.min, which is 4"),
        (ActorsConfig, {"gpus": 1.5}, "actors.gpus: 1.5 is no share of one GPU, and no whole number of them"),
        (ActorsConfig, {"count": 0}, "count: 0 is wrong; input should be greater than or equal to 1"),
        (LimitsConfig, {"fetch_seconds": 0}, "fetch_seconds: 0 is wrong; input should be greater than 0"),
        (LimitsConfig, {"image_bytes": 0}, "image_bytes: 0 is wrong; input should be greater than or equal to 1"),
        (BatchConfig, {"tokens": 255}, "tokens: 255 is wrong; input should be greater than or equal to 256"),
        (BatchConfig, {"window_rows": 0}, "window_rows: 0 is wrong; input should be greater than or equal to 1"),
        (
            RayConfig,
            {"decode_on": "gpu_nodes"},
            "decode_on: 'gpu_nodes' is wrong; input should be 'cpu_nodes' or 'all_nodes'",
        ),
    ],
)
def test_sections_that_are_wrong(section: type[Section], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section.checked(values)
    assert str(caught.value) == f"config: {message}"
