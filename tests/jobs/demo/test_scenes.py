"""Drawn scenes: true captions are true, false ones false, answers right."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jobs.demo import questions, scenes
from jobs.demo.scenes import Scene, Thing
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


SCENE = Scene(
    400,
    400,
    4,
    4,
    (
        Thing("small", "red", "circle", 0, 0),
        Thing("large", "blue", "star", 2, 1),
        Thing("large", "red", "square", 2, 3),
    ),
)
TRUE_ANSWERS = {
    "what color is the star?": "blue",
    "what color is the small object?": "red",
    "what shape is the blue object?": "star",
    "what shape is the small object?": "circle",
    "what size is the circle?": "small",
    "how many objects are there?": "3",
    "how many red objects are there?": "2",
    "how many large objects are there?": "2",
    "how many stars are there?": "1",
    "is there a large blue star?": "yes",
    "is there a small blue star?": "no",
    "is the red circle left of the blue star?": "yes",
    "is the red circle right of the blue star?": "no",
    "is the red circle above the blue star?": "yes",
    "is the blue star below the red circle?": "yes",
    "is the red circle at the top or at the bottom?": "top",
    "is the red square at the left or at the right?": "right",
}


def test_answers_about_a_known_scene() -> None:
    rng = Random(0)
    seen = {}
    for _ in range(5000):
        _, question, answer = questions.ask(SCENE, rng)
        assert answer in questions.ANSWERS
        assert seen.setdefault(question, answer) == answer
    for question, answer in TRUE_ANSWERS.items():
        assert seen[question] == answer
    assert "what shape is the red object?" not in seen  # two are red: no one answer
    assert "is the blue star above the red square?" not in seen  # they are in one row
