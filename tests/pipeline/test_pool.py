"""The actor pool on machines from two cores to a GPU node."""

from typing import Any

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.pool import Pool, fit_pool


def config(**actors: Any) -> JobConfig:
    values = {"input": {"path": "i"}, "model": "m", "output": {"path": "o"}, "actors": actors}
    return JobConfig.parse("score", values)


@pytest.mark.parametrize(
    ("cores", "gpus", "expected"),
    [
        (2, 0, Pool(1, 1, 0.0, 16_384, 2_000)),
        (3, 0, Pool(1, 2, 0.0, 16_384, 2_000)),  # a machine of two cores: see `ray_session`
        (9, 0, Pool(1, 8, 0.0, 16_384, 2_000)),
        (65, 0, Pool(7, 8, 0.0, 16_384, 2_000)),
        (16, 1, Pool(1, 1, 1.0, 65_536, 100_000)),
        (96, 8, Pool(8, 1, 1.0, 65_536, 100_000)),
    ],
)
def test_defaults(cores: int, gpus: float, expected: Pool) -> None:
    assert fit_pool(config(), cores, gpus) == expected


def test_what_the_config_asks_for() -> None:
    assert fit_pool(config(gpus=0.5), 16, 2) == Pool(4, 1, 0.5, 65_536, 100_000)
    assert fit_pool(config(gpus=0), 17, 2) == Pool(1, 15, 0.0, 16_384, 2_000)
    assert fit_pool(config(count=2, cpus=3), 8, 0) == Pool(2, 3, 0.0, 16_384, 2_000)


@pytest.mark.parametrize(
    ("actors", "message"),
    [
        ({"count": 3}, "3 actors of 1 GPUs need more than the 2 that Ray has"),
        ({"gpus": 0, "count": 2, "cpus": 4}, "2 actors of 4 cores leave none for reading and decoding; Ray has 8"),
    ],
)
def test_more_than_there_is(actors: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_pool(config(**actors), 8, 2)
