"""Drawn scenes: true captions are true, false ones false."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jobs.demo import scenes
from vilt.processing.grids import grid_of

SEEDS = st.integers(0, 2**32)


def read(text: str) -> list[tuple[str, str, str]]:
    """The objects that a caption names, in its order."""
    return [(size, color, shape) for _, size, color, shape in (name.split() for name in text.split(" left of "))]


@given(SEEDS)
def test_scenes_keep_their_promises(seed: int) -> None:
    scene = scenes.random_scene(Random(seed))
    assert grid_of(scene.height, scene.width, scenes.SHORTEST_EDGE) == (scene.rows, scene.cols)
    columns = [t.col for t in scene.things]
    assert columns == sorted(set(columns))
    assert len({t.kind for t in scene.things}) == len(scene.things)
    assert all(t.row < scene.rows and t.col < scene.cols for t in scene.things)


@given(SEEDS)
def test_captions(seed: int) -> None:
    rng = Random(seed)
    things = scenes.random_scene(rng).things
    truth = [thing.kind for thing in sorted(things, key=lambda t: t.col)]
    assert read(scenes.caption(things)) == truth
    false = scenes.false_captions(things, 19, rng)
    assert len(set(false)) == len(false) == 19
    assert not any(read(text) == truth for text in false)


def test_the_same_seed_draws_the_same_bytes() -> None:
    first, second = (scenes.encode(scenes.draw(scenes.random_scene(rng), rng), rng) for rng in (Random(5), Random(5)))
    assert first == second
