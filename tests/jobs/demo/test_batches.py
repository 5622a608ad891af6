"""The batches of the training: what is masked, and what is asked at which time."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from jobs.demo import questions, scenes
from jobs.demo.batches import CANDIDATES, Example, captioned, compose, to_pairs, vocabulary
from vilt.processing.grids import Grid
from vilt.processing.tokenizer.tokenizer import SPECIAL_TOKENS, ViltTokenizer

TOKENIZER = ViltTokenizer.from_vocabulary(vocabulary())


class Pool:
    """Scenes without pictures."""

    def __init__(self, count: int = 200) -> None:
        drawn = [scenes.random_scene(Random(i)) for i in range(count)]
        self.items = [
            (one, np.full((one.rows * one.cols, 3), i, np.uint16), Grid(one.rows, one.cols))
            for i, one in enumerate(drawn)
        ]
        self.most = 0

    def sample(self, rng: Random, most: int) -> int:
        self.most = max(self.most, most)
        return rng.choice([i for i, (one, _, _) in enumerate(self.items) if len(one.things) <= most])


POOL: Any = Pool()


def test_every_word_of_captions_and_questions_is_one_token() -> None:
    words = vocabulary()
    assert len(set(words)) == len(words)
    assert tuple(words[: len(SPECIAL_TOKENS)]) == SPECIAL_TOKENS
    rng, unknown = Random(3), TOKENIZER.id("[UNK]")
    for i in range(50):
        scene = scenes.random_scene(Random(i))
        for text in (scenes.caption(scene.things), questions.ask(scene, rng)[1]):
            ids, _ = TOKENIZER.ragged([text])
            assert unknown not in ids
            assert len(ids) == len(text.replace("?", " ?").split()) + 2
    assert unknown not in TOKENIZER.ragged(["Zebra-42, (x)!"])[0], "other texts are spelt"


@pytest.mark.parametrize("progress", [0.0, 0.05, 0.2, 0.5, 0.9, 1.0])
def test_what_is_learned_when(progress: float) -> None:
    POOL.most = 0
    batch = compose(POOL, Random(7), 64, progress)
    kinds = {kind: sum(example.kind == kind for example in batch) for kind in ("caption", "question", "rank")}
    assert POOL.most == min(scenes.MOST_OBJECTS, 1 + int(progress / 0.025))
    if progress < 0.1:
        assert kinds == {"caption": 64, "question": 0, "rank": 0}
        return
    assert kinds["question"] == 24
    assert kinds["caption"] == (16 if progress >= 0.8 else 24)
    assert kinds["rank"] == 64 - kinds["question"] - kinds["caption"]
    for example in batch:
        assert (example.answer >= 0) == (example.kind == "question")
    ranked = [example for example in batch if example.kind == "rank"]
    for i in range(0, len(ranked), CANDIDATES):
        true, *false = ranked[i : i + CANDIDATES]
        assert true == captioned(POOL, true.scene, "rank")
        assert {one.scene for one in false} == {true.scene}
        assert len({true.text, *(one.text for one in false)}) == CANDIDATES
        assert all(not one.cells for one in false)


def test_masked_words_and_their_cells() -> None:
    scene = next(i for i, (one, _, _) in enumerate(POOL.items) if len(one.things) == 3)
    caption = captioned(POOL, scene, "caption")
    question = Example(scene, "how many red objects are there?", "question", answer=1)
    false = Example(scene, "a small red circle", "rank")
    mask = TOKENIZER.id("[MASK]")
    for seed in range(20):
        pairs, words, cells = to_pairs(POOL, [caption, question, false], TOKENIZER, Random(seed))
        ids = pairs.token_ids.copy()
        masked = words.numpy() != -100
        assert (ids[masked] == mask).all()
        assert not (ids[~masked] == mask).any()
        ids[masked] = words.numpy()[masked]
        assert np.array_equal(ids, TOKENIZER.ragged([caption.text, question.text, false.text])[0])
        first = pairs.text_lengths[0]
        assert not masked[first:].any(), "captions alone are masked"
        assert (cells.numpy()[first:] == -100).all(), "of a false caption nothing is known"
        named = cells.numpy()[cells.numpy() != -100]
        assert named.tolist() == np.repeat(caption.cells, 3).tolist()
        for thing in np.flatnonzero(cells.numpy() != -100).reshape(-1, 3):
            assert 1 <= masked[thing].sum() <= 3


def test_a_scene_of_several_texts_is_there_once() -> None:
    batch = [captioned(POOL, 5, "rank"), captioned(POOL, 2, "rank"), captioned(POOL, 5, "caption")]
    pairs, _, _ = to_pairs(POOL, batch, TOKENIZER, Random(0))
    assert pairs.image_index.tolist() == [1, 0, 1]
    assert list(pairs.grids) == [POOL.items[2][2], POOL.items[5][2]]
    assert pairs.patches[:, 0].tolist() == [2] * pairs.grids[0].patches + [5] * pairs.grids[1].patches
