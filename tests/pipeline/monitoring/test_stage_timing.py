"""What limits a job, by what its processes did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitoring.stage_timing import STAGES, Stage, limiting

SECONDS = st.floats(0, 1000)


@pytest.mark.parametrize(
    ("spent", "stage"),
    [
        ({}, None),
        ({"model": 110, "decoding": 50, "waiting": 70}, "model"),
        ({"model": 40, "decoding": 115, "fetching": 5}, "decoding"),
        ({"model": 40, "decoding": 20, "fetching": 300}, "fetching"),
        ({"model": 40, "decoding": 20, "reading": 90, "waiting": 10}, "reading"),
        ({"model": 60, "decoding": 30, "waiting": 80, "writing": 400}, "writing"),
        ({"model": 60, "decoding": 80, "writing": 50}, "decoding"),
        ({"waiting": 100, "decoding": 3}, "model"),  # the actors are loading
    ],
)
def test_of_two_actors_in_a_minute(spent: dict[str, float], stage: Stage | None) -> None:
    assert limiting(spent, 2, 60) == stage


@given(st.dictionaries(st.sampled_from([*STAGES, "waiting"]), SECONDS), st.integers(0, 9), st.floats(0.1, 1000))
def test_it_is_a_stage_that_was_at_work(spent: dict[str, float], actors: int, seconds: float) -> None:
    stage = limiting(spent, actors, seconds)
    if stage is None:
        assert not any(spent.values())
    else:
        assert spent.get(stage) or (stage == "model" and spent.get("waiting"))
    busy = {**spent, "model": max(1, actors) * seconds}
    assert limiting(busy, max(1, actors), seconds) == "model", "actors that never rest limit, whatever the others do"
