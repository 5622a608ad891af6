"""The table of the demo: drawn scenes with captions and questions, some of them broken on purpose."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from jobs.demo import questions, scenes

CAPTIONS = 4  # of each scene, one of them true
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("image", pa.binary()),
        ("captions", pa.list_(pa.string())),
        ("true_caption", pa.string()),
        ("question", pa.string()),
        ("true_answer", pa.string()),
    ]
)


def write_table(path: str, rows: int, seed: int = 7) -> None:
    """Write the table of the demo: one Parquet file of `SCHEMA`.

    Args:
        path: URI of the file.
        rows: How many scenes to draw, at least 20; eight of them are broken.
        seed: Seed of the scenes.
    """
    rng = Random(seed)
    table = [_row(i, rng) for i in range(rows)]
    for row, broken in zip(rng.sample(table, 8), _broken(table[0]["image"]), strict=True):
        row.update(broken)
    with fsspec.open(path, "wb", auto_mkdir=True) as file:
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), file)


def _row(row_id: int, rng: Random) -> dict[str, Any]:
    scene = scenes.random_scene(rng)
    truth = scenes.caption(scene.things)
    captions = [truth, *scenes.false_captions(scene.things, CAPTIONS - 1, rng)]
    _, question, answer = questions.ask(scene, rng)
    return {
        "id": row_id,
        "image": scenes.encode(scenes.draw(scene, rng), rng),
        "captions": rng.sample(captions, CAPTIONS),
        "true_caption": truth,
        "question": question,
        "true_answer": answer,
    }


def _broken(good: bytes) -> list[dict[str, Any]]:
    """Return what goes wrong with rows in real tables, as columns to replace."""
    strip = io.BytesIO()
    Image.new("RGB", (900, 30), "gray").save(strip, "PNG")
    return [
        {"image": good[: len(good) // 2]},
        {"image": good[: len(good) // 3]},
        {"image": b"<html><body>404 Not Found</body></html>"},
        {"image": b""},
        {"image": None},
        {"image": strip.getvalue()},
        {"captions": None, "question": None},
        {"captions": ["", " "], "question": "  "},
    ]
