"""Pictures and texts that cost what COCO's do: its sizes, JPEG files of about 100 kB, texts of 8 to 17 tokens."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIZES = [(640, 480)] * 6 + [(480, 640)] * 3 + [(640, 427), (427, 640), (500, 375), (640, 640)]  # (width, height)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(200))]


def pictures(count: int, seed: int = 0) -> list[bytes]:
    """JPEG files of smooth shapes with grain."""
    rng = np.random.default_rng(seed)
    files = []
    for i in range(count):
        size = SIZES[i % len(SIZES)]
        smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = rng.normal(0, 9, (size[1], size[0], 1))
        data = io.BytesIO()
        Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=88)
        files.append(data.getvalue())
    return files


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[5:], rng.integers(6, 16))) for _ in range(count)]
