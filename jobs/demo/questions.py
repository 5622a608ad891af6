"""Questions about drawn scenes, with their one true answer: colour, shape, size, number, presence, position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from jobs.demo.scenes import COLORS, MOST_OBJECTS, SHAPES, SIZES, Scene, Thing

Question = tuple[str, str]  # question, answer


def _about_one(scene: Scene, rng: Random, asked: str, template: str) -> Question | None:
    """Ask for an attribute of an object that its other attributes single out; None if they do not.

    Args:
        scene: The scene.
        rng: Chooses the object and the attributes that name it.
        asked: The attribute: size, color or shape.
        template: Template of the question, with `{}` for the name of the object.
    """
    thing = rng.choice(scene.things)
    named = [a for a in ("size", "color", "shape") if a != asked]
    given = rng.choice(([named[0]], [named[1]], named))
    if sum(all(getattr(t, a) == getattr(thing, a) for a in given) for t in scene.things) != 1:
        given = named
        if sum(all(getattr(t, a) == getattr(thing, a) for a in given) for t in scene.things) != 1:
            return None
    words = [getattr(thing, a) for a in given]
    if "shape" not in given:
        words.append("object")
    return template.format(" ".join(words)), getattr(thing, asked)


def color(scene: Scene, rng: Random) -> Question | None:
    """Ask, for example, what color the large circle is."""
    return _about_one(scene, rng, "color", "what color is the {}?")


def shape(scene: Scene, rng: Random) -> Question | None:
    """Ask, for example, what shape the red object is."""
    return _about_one(scene, rng, "shape", "what shape is the {}?")


def size(scene: Scene, rng: Random) -> Question | None:
    """Ask, for example, what size the red star is."""
    return _about_one(scene, rng, "size", "what size is the {}?")


def number(scene: Scene, rng: Random) -> Question:
    """Ask, for example, how many red objects there are.

    Each number that is the answer to some question about the scene is equally likely.
    """
    asked = {"objects": len(scene.things)}
    for attribute, values in (("color", tuple(COLORS)), ("shape", SHAPES), ("size", SIZES)):
        present = [getattr(thing, attribute) for thing in scene.things]
        asked |= {f"{v}s" if attribute == "shape" else f"{v} objects": present.count(v) for v in values}
    answer = rng.choice(sorted(set(asked.values())))
    nouns = rng.choice([nouns for nouns, count in asked.items() if count == answer])
    return f"how many {nouns} are there?", str(answer)


def presence(scene: Scene, rng: Random) -> Question:
    """Ask, for example, whether there is a small red circle.

    Half of the objects are there; of the others one attribute is changed.
    """
    thing = rng.choice(scene.things)
    kinds = {t.kind for t in scene.things}
    if rng.random() < 0.5:
        return f"is there a {thing.name}?", "yes"
    while thing.kind in kinds:
        attribute, values = rng.choice((("size", SIZES), ("color", tuple(COLORS)), ("shape", SHAPES)))
        thing = replace(rng.choice(scene.things), **{attribute: rng.choice(values)})  # type: ignore[arg-type]
    return f"is there a {thing.name}?", "no"


def position(scene: Scene, rng: Random) -> Question | None:
    """Ask, for example, whether the red circle is left of the blue star, or on which side it is."""
    unique = [t for t in scene.things if _named(scene, t) == 1]
    if not unique:
        return None
    thing = rng.choice(unique)
    halves = (("left", "right", thing.col, scene.cols), ("top", "bottom", thing.row, scene.rows))
    if len(unique) == 1 or rng.random() < 0.4:
        low, high, cell, cells = rng.choice(halves)
        if 2 * cell + 1 == cells:  # in the middle
            return None
        side = low if 2 * cell + 1 < cells else high
        return f"is the {thing.color} {thing.shape} at the {low} or at the {high}?", side
    other = rng.choice([t for t in unique if t != thing])
    relation, holds = rng.choice(
        (
            ("left of", thing.col < other.col),
            ("right of", thing.col > other.col),
            ("above", thing.row < other.row),
            ("below", thing.row > other.row),
        )
    )
    if relation in ("above", "below") and thing.row == other.row:
        return None
    text = f"is the {thing.color} {thing.shape} {relation} the {other.color} {other.shape}?"
    return text, "yes" if holds else "no"


def _named(scene: Scene, thing: Thing) -> int:
    return sum((t.color, t.shape) == (thing.color, thing.shape) for t in scene.things)


KINDS: dict[str, Callable[[Scene, Random], Question | None]] = {
    "color": color,
    "shape": shape,
    "size": size,
    "number": number,
    "presence": presence,
    "position": position,
}
ANSWERS = (
    *COLORS,
    *SHAPES,
    *SIZES,
    *(str(n) for n in range(MOST_OBJECTS + 1)),
    "yes",
    "no",
    "left",
    "right",
    "top",
    "bottom",
)


HARD = ("number", "position")


def ask(scene: Scene, rng: Random, kind: str | None = None, hard: int = 1) -> tuple[str, str, str]:
    """Ask a question about a scene.

    Args:
        scene: The scene.
        rng: Chooses the question.
        kind: One of `KINDS`; default: any.
        hard: How many times as often as the others the kinds that are learned last are asked.

    Returns:
        (kind, question, answer); of the kind `presence` if the scene allows no question of the kind that was chosen.
    """
    kind = kind or rng.choice((*KINDS, *HARD * (hard - 1)))
    for _ in range(4):
        question = KINDS[kind](scene, rng)
        if question:
            return kind, *question
    return "presence", *presence(scene, rng)
