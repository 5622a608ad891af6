"""The batches of the training: scenes that are drawn ahead, texts about them, masked words and their cells."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from jobs.demo import questions, scenes
from vilt.inference.pairs import Pairs, starts
from vilt.models.vilt.preprocessor import Preprocessor
from vilt.processing.grids import Grid
from vilt.processing.images import ViltImageProcessor
from vilt.processing.tokenizer.tokenizer import SPECIAL_TOKENS, ViltTokenizer

WORDS = """a the is are there what how many color shape size object objects left right above below of at or and in on to
top bottom"""
LAST_PART = 0.8  # of all steps: what is learned last is asked more often from here on
CANDIDATES = 4  # captions of a ranked picture: one true, the others hard
IMAGES = ViltImageProcessor(size={"shortest_edge": scenes.SHORTEST_EDGE})
TRAIN_SEED = 1  # scenes of other seeds are held out: see jobs/demo/quality.py


def vocabulary() -> list[str]:
    """Return special tokens, every word of captions and questions, and single characters for any other text."""
    words = {*WORDS.split(), *scenes.COLORS, *scenes.SHAPES, *scenes.SIZES, *(f"{shape}s" for shape in scenes.SHAPES)}
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    pieces = [f"##{c}" for c in letters if c.isalnum()]
    return [*SPECIAL_TOKENS, *sorted(words - set(letters)), *letters, *pieces]


@dataclass
class Example:
    """One text about one scene of the pool, and what is to be learned from it.

    Attributes:
        scene: Index in the pool.
        text: A caption or a question.
        kind: "caption", "question" or "rank".
        answer: Index of the answer to a question.
        cells: For a true caption, the cell of each object that it names, in its order.
    """

    scene: int
    text: str
    kind: str
    answer: int = -1
    cells: tuple[int, ...] = ()


class ScenePool:
    """Scenes with their patches, drawn ahead by worker processes with the preprocessing that jobs use."""

    def __init__(self, size: int, workers: ProcessPoolExecutor) -> None:
        self.workers = workers
        self.next_seed = 0
        self.items: list[tuple[scenes.Scene, np.ndarray, Grid]] = []
        self.by_count: dict[int, list[int]] = {n: [] for n in range(1, scenes.MOST_OBJECTS + 1)}
        for chunk in workers.map(_draw_many, [(seed, 256) for seed in range(size // 256)]):
            for item in chunk:
                self.by_count[len(item[0].things)].append(len(self.items))
                self.items.append(item)

    def sample(self, rng: Random, most: int) -> int:
        """Return the index of a scene with at most `most` objects; each number of objects is equally likely."""
        return rng.choice(self.by_count[rng.randint(1, most)])


def _draw_many(job: tuple[int, int]) -> list[tuple[scenes.Scene, np.ndarray, Grid]]:
    seed, count = job
    rng = Random(TRAIN_SEED * 1_000_003 + seed)
    preprocessor = Preprocessor(IMAGES, ViltTokenizer.from_vocabulary(vocabulary()), 32)
    out = []
    for _ in range(count):
        scene = scenes.random_scene(rng)
        out.append((scene, *preprocessor.patches(scenes.encode(scenes.draw(scene, rng), rng))))
    return out


def compose(pool: ScenePool, rng: Random, size: int, progress: float) -> list[Example]:
    """Compose a batch for a step of the training.

    At first it holds masked captions alone, of few objects; then captions, questions and rankings; in the end more of
    what is learned last.

    Args:
        pool: To choose scenes from.
        rng: Chooses them.
        size: Examples in the batch.
        progress: Share of the training that is done, 0 to 1.
    """
    most = min(scenes.MOST_OBJECTS, 1 + int(progress / 0.025))
    last = progress >= LAST_PART
    if progress < 0.1:
        captions, asked, hard = size, 0, 1
    else:
        captions, asked, hard = size // 4 if last else size * 3 // 8, size * 3 // 8, 1 if progress < 0.4 else 2
    batch = [captioned(pool, pool.sample(rng, most), "caption") for _ in range(captions)]
    for _ in range(asked):
        scene = pool.sample(rng, most)
        _, question, answer = questions.ask(pool.items[scene][0], rng, hard=4 if last else hard)
        batch.append(Example(scene, question, "question", questions.ANSWERS.index(answer)))
    for _ in range((size - captions - asked) // CANDIDATES):
        scene = pool.sample(rng, most)
        things = pool.items[scene][0].things
        batch.append(captioned(pool, scene, "rank"))
        swapped = scenes.swapped_captions(things) if last and rng.random() < 0.6 else []
        false = [*rng.sample(swapped, min(1, len(swapped))), *scenes.false_captions(things, CANDIDATES, rng)]
        batch += [Example(scene, text, "rank") for text in list(dict.fromkeys(false))[: CANDIDATES - 1]]
    return batch


def captioned(pool: ScenePool, scene: int, kind: str) -> Example:
    """Return the true caption of a scene as an example."""
    drawn = pool.items[scene][0]
    cells = tuple(thing.row * drawn.cols + thing.col for thing in drawn.things)
    return Example(scene, scenes.caption(drawn.things), kind, cells=cells)


def to_pairs(
    pool: ScenePool, batch: list[Example], tokenizer: ViltTokenizer, rng: Random
) -> tuple[Pairs, Tensor, Tensor]:
    """Turn a batch into pairs, and mask words of its captions.

    Of the three attributes of every object of a caption one or two are masked, now and then all.

    Returns:
        The pairs; the masked words as targets; and for each word that names an attribute in a true caption the cell
        that it is about. Targets and cells are int64 (sum of text lengths,), -100 elsewhere.
    """
    ids, lengths = tokenizer.ragged([e.text for e in batch])
    words, cells = np.full_like(ids, -100), np.full_like(ids, -100)
    attributes = [tokenizer.id(word) for word in (*scenes.COLORS, *scenes.SHAPES, *scenes.SIZES)]
    for example, begin, length in zip(batch, starts(lengths), lengths, strict=True):
        named = begin + np.flatnonzero(np.isin(ids[begin : begin + length], attributes))
        if example.cells:
            cells[named] = np.repeat(example.cells, 3)
        if example.kind == "caption":
            masked = (
                named
                if rng.random() < 0.15
                else [i for thing in named.reshape(-1, 3) for i in rng.sample(thing.tolist(), rng.choice((1, 1, 2)))]
            )
            words[masked] = ids[masked]
            ids[masked] = tokenizer.id("[MASK]")
    seen, image_index = np.unique([e.scene for e in batch], return_inverse=True)
    patches = np.concatenate([pool.items[i][1] for i in seen])
    pairs = Pairs(ids, lengths, patches, [pool.items[i][2] for i in seen], image_index)
    return pairs, torch.from_numpy(words), torch.from_numpy(cells)
