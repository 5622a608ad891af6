"""Compare each precision with float32, with the shipped model on drawn scenes: `python -m benchmarks.agreement`.

Scores of true and false captions, and the first answers to questions of every kind. float8 is for GPUs; here a CPU
computes, slowly, what they do.
"""

from __future__ import annotations

import argparse
from random import Random
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks import machine
from jobs.demo import questions, scenes
from vilt import Predictor

CAPTIONS, QUESTIONS = 4, 8  # a scene, one of them true


def results(precision: str, count: int) -> tuple[np.ndarray, list[str], list[bool]]:
    """Scores, answers, and whether the answers are right."""
    rng = Random(7)
    drawn = [scenes.random_scene(rng) for _ in range(count)]
    pictures = [scenes.encode(scenes.draw(scene, rng), rng) for scene in drawn]
    with patch("vilt.inference.float8.can_multiply", return_value=True):
        predictor = Predictor.from_pretrained("zoo://scenes", precision=precision)
    texts = [[scenes.caption(s.things), *scenes.false_captions(s.things, CAPTIONS - 1, rng)] for s in drawn]
    asked = [[questions.ask(scene, rng) for _ in range(QUESTIONS)] for scene in drawn]
    scores = [predictor.score(picture, own) for picture, own in zip(pictures, texts, strict=True)]
    answers: list[str] = []
    right: list[bool] = []
    for picture, own in zip(pictures, asked, strict=True):
        found = [best for [(best, _)] in predictor.answer(picture, [question for _, question, _ in own])]
        answers += found
        right += [best == truth for best, (_, _, truth) in zip(found, own, strict=True)]
    return np.concatenate(scores), answers, right


def main(count: int) -> None:
    print(f"{machine.describe()}\n\n{count * CAPTIONS:,} scores, {count * QUESTIONS:,} answers\n")
    print("| precision | rank correlation | largest difference of a score | of a spread of | same answer | right |")
    print("| --- | --- | --- | --- | --- | --- |")
    exact, known, _ = results("float32", count)
    for precision in ("float32", "bfloat16", "int8", "float8"):
        scores, answers, right = results(precision, count)
        ranks = pd.Series(scores).rank().corr(pd.Series(exact).rank())
        same = np.mean([a == b for a, b in zip(answers, known, strict=True)])
        print(
            f"| {precision} | {ranks:.5f} | {np.abs(scores - exact).max():.3f} | {exact.std():.2f} | {same:.2%} "
            f"| {np.mean(right):.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    main(parser.parse_args().scenes)
