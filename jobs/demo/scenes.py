"""Drawn scenes: coloured shapes on plain or textured backgrounds, with captions whose truth is known.

A scene is a grid of cells with one to four objects, no two in the same column, so "left of" is always decided. The
same scenes train the shipped model, test it, and fill the table of `vilt demo`.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from vilt.processing.grids import NoGridError, grid_of

COLORS = {
    "red": (215, 38, 38),
    "green": (38, 165, 60),
    "blue": (45, 85, 225),
    "yellow": (243, 222, 45),
    "purple": (150, 55, 190),
    "orange": (245, 135, 25),
}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("small", "large")
RADIUS = {"small": 0.23, "large": 0.42}  # of a cell
MOST_OBJECTS = 4
SHORTEST_EDGE = 128  # of the shipped model: 4 cells of 32 pixels


@dataclass(frozen=True)
class Thing:
    """One object: what it is and the cell it is in."""

    size: str
    color: str
    shape: str
    row: int
    col: int

    @property
    def name(self) -> str:
        """Return the name that captions use, as in "small red circle"."""
        return f"{self.size} {self.color} {self.shape}"

    @property
    def kind(self) -> tuple[str, str, str]:
        """Return what it is, without its cell."""
        return self.size, self.color, self.shape


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn: its size in pixels, its grid of cells, its objects from left to right."""

    width: int
    height: int
    rows: int
    cols: int
    things: tuple[Thing, ...]


def random_scene(rng: Random, most: int = MOST_OBJECTS, least: int = 1) -> Scene:
    """Draw lots for a scene of `least` to `most` objects of distinct kinds.

    Its aspect ratio is between 1:2 and 2:1, its short side has 96 to 320 pixels.
    """
    while True:
        ratio = 2 ** rng.uniform(-1, 1)
        short = rng.randint(96, 320)
        width, height = (short, round(short / ratio)) if ratio < 1 else (round(short * ratio), short)
        try:
            grid = grid_of(height, width, SHORTEST_EDGE)
        except NoGridError:
            continue
        if grid.cols >= least:
            break
    columns = sorted(rng.sample(range(grid.cols), min(rng.randint(least, most), grid.cols)))
    things: list[Thing] = []
    for column in columns:
        while True:
            thing = Thing(
                rng.choice(SIZES), rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.randrange(grid.rows), column
            )
            if all(thing.kind != other.kind for other in things):
                break
        things.append(thing)
    return Scene(width, height, grid.rows, grid.cols, tuple(things))


def draw(scene: Scene, rng: Random) -> Image.Image:
    """Draw a scene.

    Args:
        scene: The scene.
        rng: Varies background, shades, and the positions of objects in their cells.

    Returns:
        RGB, `scene.width` x `scene.height` pixels.
    """
    picture = _ground(scene.width, scene.height, rng)
    pen = ImageDraw.Draw(picture)
    cell_width, cell_height = scene.width / scene.cols, scene.height / scene.rows
    for thing in scene.things:
        x = (thing.col + 0.5 + rng.uniform(-0.08, 0.08)) * cell_width
        y = (thing.row + 0.5 + rng.uniform(-0.08, 0.08)) * cell_height
        scale = RADIUS[thing.size] * rng.uniform(0.92, 1.08)
        rx, ry = scale * cell_width, scale * cell_height
        shade = tuple(max(0, min(255, c + rng.randint(-12, 12))) for c in COLORS[thing.color])
        if thing.shape == "circle":
            pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=shade)
        else:
            pen.polygon([(x + rx * px, y + ry * py) for px, py in _OUTLINES[thing.shape]], fill=shade)
    return picture


def _star() -> list[tuple[float, float]]:
    points = []
    for i in range(10):
        radius, angle = (1.08, 0.42)[i % 2], -math.pi / 2 + i * math.pi / 5
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return points


_OUTLINES = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -1.0), (1.0, 0.85), (-1.0, 0.85)],
    "star": _star(),
}


def _ground(width: int, height: int, rng: Random) -> Image.Image:
    """Draw a plain, graded, striped or grainy background, pale in colour so that objects stand out."""
    base = np.array([rng.randint(20, 235)] * 3) + [rng.randint(-12, 12) for _ in range(3)]
    style = rng.choice(("plain", "graded", "striped", "grainy"))
    if style == "plain":
        return Image.new("RGB", (width, height), tuple(int(c) for c in base.clip(0, 255)))
    if style == "graded":
        wave = np.linspace(-25, 25, width)[None, :] * np.ones((height, 1))
    elif style == "striped":
        wave = 14 * np.sign(np.sin(np.arange(height) / rng.uniform(2, 9)))[:, None] * np.ones((1, width))
    else:
        wave = np.random.default_rng(rng.getrandbits(32)).normal(0, 12, (height, width))
    pixels = (base + wave[:, :, None]).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def encode(picture: Image.Image, rng: Random) -> bytes:
    """Encode a picture as a JPEG of quality 75 to 95, or now and then as a PNG."""
    buffer = io.BytesIO()
    if rng.random() < 0.1:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=rng.randint(75, 95))
    return buffer.getvalue()


def caption(things: tuple[Thing, ...]) -> str:
    """Return the true caption, which names every object from left to right."""
    return " left of ".join(f"a {thing.name}" for thing in things)


def false_captions(things: tuple[Thing, ...], count: int, rng: Random) -> list[str]:
    """Return `count` distinct false captions, the hardest first.

    In these one attribute of one object is changed, or two neighbours are swapped. If there are too few of them, as of
    a single object, captions with two changed attributes follow.
    """
    changed = _one_changed(things)
    hard = [caption(c) for c in changed] + swapped_captions(things)
    rng.shuffle(hard)
    easier: list[str] = []
    if len(hard) < count:
        easier = [caption(second) for first in changed for second in _one_changed(first)]
        rng.shuffle(easier)
    distinct = dict.fromkeys(hard + easier)
    distinct.pop(caption(things), None)
    return list(distinct)[:count]


def swapped_captions(things: tuple[Thing, ...]) -> list[str]:
    """Return the false captions in which two neighbours are swapped; none for a single object."""
    return [caption(_swap(things, i, i + 1)) for i in range(len(things) - 1)]


def _one_changed(things: tuple[Thing, ...]) -> list[tuple[Thing, ...]]:
    """Return every way to change one attribute of one object."""
    variants = []
    for i, thing in enumerate(things):
        others = [replace(thing, size=s) for s in SIZES if s != thing.size]
        others += [replace(thing, color=c) for c in COLORS if c != thing.color]
        others += [replace(thing, shape=s) for s in SHAPES if s != thing.shape]
        variants += [(*things[:i], other, *things[i + 1 :]) for other in others]
    return variants


def _swap(things: tuple[Thing, ...], i: int, j: int) -> tuple[Thing, ...]:
    """Return the objects with i and j in each other's cell."""
    out = list(things)
    out[i] = replace(things[j], row=things[i].row, col=things[i].col)
    out[j] = replace(things[i], row=things[j].row, col=things[j].col)
    return tuple(out)
