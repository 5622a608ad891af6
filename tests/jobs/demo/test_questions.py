"""Questions about drawn scenes: their answers are true, and none is asked that has no one answer."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.demo import questions, scenes
from jobs.demo.scenes import Scene, Thing

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


@given(st.integers(0, 2**32), st.sampled_from(sorted(questions.KINDS)))
def test_one_question_has_one_answer_whatever_the_seed(seed: int, kind: str) -> None:
    scene = scenes.random_scene(Random(seed))
    seen: dict[str, str] = {}
    for other in range(20):
        asked, question, answer = questions.ask(scene, Random(other), kind)
        assert asked in (kind, "presence")
        assert question.endswith("?")
        assert answer in questions.ANSWERS
        assert seen.setdefault(question, answer) == answer


@given(st.integers(0, 2**32))
def test_numbers_are_counted(seed: int) -> None:
    scene = scenes.random_scene(Random(seed))
    question, answer = questions.number(scene, Random(seed))
    noun = question.removeprefix("how many ").removesuffix(" are there?")
    words = {word for thing in scene.things for word in (thing.size, thing.color, f"{thing.shape}s")}
    word = noun.removesuffix(" objects")
    if noun == "objects":
        assert int(answer) == len(scene.things)
    else:
        assert (int(answer) > 0) == (word in words)


def test_a_question_that_a_scene_does_not_allow() -> None:
    """Two alike in all but the cell: neither can be named, so it is asked whether there is one."""
    twins = Scene(64, 64, 2, 2, (Thing("small", "red", "circle", 0, 0), Thing("small", "red", "circle", 0, 1)))
    assert questions.position(twins, Random(0)) is None
    assert questions.color(twins, Random(0)) is None
    for kind in ("position", "color", "shape", "size"):
        assert questions.ask(twins, Random(0), kind)[0] == "presence"


@pytest.mark.parametrize("hard", [1, 4])
def test_hard_kinds_are_asked_more_often(hard: int) -> None:
    rng = Random(1)
    kinds = [questions.ask(SCENE, rng, hard=hard)[0] for _ in range(2000)]
    share = sum(kind in questions.HARD for kind in kinds) / len(kinds)
    expected = 2 * hard / (4 + 2 * hard)
    assert expected - 0.1 < share < expected + 0.05, "positions are not always decided"
