"""The arithmetic of `vilt plan`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.planning.estimate import Machines, Stage, estimate
from pipeline.planning.timings import Timings

START = 4.0


def timed(**per_row: float) -> dict[Stage, Timings]:
    """Stages that take the same time for every row."""
    stages = ("reading", "fetching", "decoding", "model", "writing")
    return {stage: Timings.of([(10, 10 * per_row.get(stage, 0.0))] * 5) for stage in stages}  # type: ignore[misc]


def test_the_model_decides() -> None:
    found = estimate(timed(reading=0.001, decoding=0.003, model=0.01), 10_000, START, Machines(2, 1, 2, 4))
    assert found.limit == "model"
    assert found.start == START
    assert found.seconds == pytest.approx(START + 10_000 * 0.01 / 2)
    assert found.low == pytest.approx(found.seconds)
    assert found.high == pytest.approx(found.seconds)
    assert found.rates == {"decoding": pytest.approx(500), "model": pytest.approx(200), "writing": float("inf")}
    assert found.cores_per_actor == pytest.approx(1.4)


@pytest.mark.parametrize("largest", ["reading", "fetching", "decoding"])
def test_what_comes_before_the_model_decides_and_its_largest_part_is_named(largest: str) -> None:
    parts = {"reading": 0.002, "fetching": 0.002, "decoding": 0.002, largest: 0.004}
    found = estimate(timed(model=0.001, **parts), 1000, START, Machines(1, 1, 4, 5))
    assert found.limit == largest
    assert found.rates[largest] == pytest.approx(500)  # type: ignore[index]
    assert found.cores_per_actor == pytest.approx(1 + 8), "so many keep up"


seconds = st.floats(1e-5, 1.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(seconds, min_size=2, max_size=20), seconds, st.integers(1, 10**6), st.integers(1, 8))
def test_more_actors_are_never_slower_and_the_range_holds_the_estimate(
    model: list[float], decoding: float, rows: int, actors: int
) -> None:
    parts = {**timed(decoding=decoding), "model": Timings.of([(1, value) for value in model])}
    few, more = (estimate(parts, rows, START, Machines(n, 1, 4, 4 + n)) for n in (actors, actors + 1))
    assert more.seconds <= few.seconds * (1 + 1e-9)
    assert few.low <= few.seconds * (1 + 1e-9)
    assert few.seconds <= few.high * (1 + 1e-9) or np.ptp(model) > 0
    assert few.start < few.low


def test_stages_that_share_cores_take_all_of_them() -> None:
    shared = estimate(timed(decoding=0.01, model=0.02), 1000, START, Machines(1, 2, 1, 2))
    assert shared.seconds == pytest.approx(START + 1000 * (0.01 + 2 * 0.02) / 2), "two cores do all the work"
    assert shared.limit == "model"
    apart = estimate(timed(decoding=0.01, model=0.02), 1000, START, Machines(1, 2, 1, 3))
    assert apart.seconds == pytest.approx(START + 1000 * 0.02)
