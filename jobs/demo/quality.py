"""What the shipped model reaches on held-out scenes: `vilt quality`."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from jobs.demo import questions, scenes
from vilt import Predictor
from vilt.common.counts import counted

HELD_OUT_SEED = 2_000_000_011  # training draws its scenes from other seeds: see jobs/demo/batches.py
CANDIDATES = 20


@dataclass
class Quality:
    """The accuracy of a checkpoint on held-out scenes.

    Attributes:
        answers: For each kind of question the share of right answers, 0 to 1, and the number asked.
        first: For each number of objects the share of scenes whose true caption ranks first among 20, and the number of
            scenes.
    """

    answers: dict[str, tuple[float, int]]
    first: dict[str, tuple[float, int]]

    def table(self) -> str:
        """Return a table in Markdown."""
        lines = ["| held-out scenes | share right | number |", "| --- | --- | --- |"]
        for kind, (share, number) in self.answers.items():
            lines.append(f"| answers: {kind} | {share:.1%} | {number:,} |")
        for objects, (share, number) in self.first.items():
            lines.append(f"| true caption first of {CANDIDATES}: {objects} | {share:.1%} | {number:,} |")
        return "\n".join(lines)


def measure(predictor: Predictor, count: int, seed: int = HELD_OUT_SEED) -> Quality:
    """Ask one question of every kind about each of `count` scenes, and rank its true caption among 19 false ones.

    Args:
        predictor: With heads for answers and scores.
        count: How many scenes to draw.
        seed: Seed of the scenes.
    """
    rng = Random(seed)
    drawn = [scenes.random_scene(rng) for _ in range(count)]
    pictures = [scenes.encode(scenes.draw(scene, rng), rng) for scene in drawn]
    right: dict[str, list[bool]] = {"all": []}
    for kind in questions.KINDS:
        asked = [questions.ask(scene, rng, kind) for scene in drawn]
        found = predictor.answer(pictures, [question for _, question, _ in asked])
        for (really, _, truth), [(answer, _)] in zip(asked, found, strict=True):
            if really == kind:  # a scene may allow no question of this kind
                right.setdefault(kind, []).append(answer == truth)
                right["all"].append(answer == truth)
    first: dict[str, list[bool]] = {"all": []}
    for scene, picture in zip(drawn, pictures, strict=True):
        truth = scenes.caption(scene.things)
        others = scenes.false_captions(scene.things, CANDIDATES - 1, rng)
        scores = predictor.score(picture, [truth, *others])
        first.setdefault(counted(len(scene.things), "object"), []).append(bool(scores[0] > scores[1:].max()))
        first["all"].append(bool(scores[0] > scores[1:].max()))
    return Quality(*({k: (float(np.mean(v)), len(v)) for k, v in sorted(d.items())} for d in (right, first)))
