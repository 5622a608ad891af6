"""JPEG files -> what a model reads, on one core, ours beside transformers: `python -m benchmarks.preprocess`.

Ours ends at uint8 patches, which the model takes as they are; theirs at float32 `pixel_values` and a mask.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import torch
import transformers
from PIL import Image

from benchmarks import coco, machine
from vilt import ViltImageProcessor
from vilt.processing.images import patchify


def main(count: int, runs: int) -> None:
    torch.set_num_threads(1)
    files = coco.pictures(count)
    ours, theirs = ViltImageProcessor(), transformers.ViltImageProcessor()

    def published(processor: Callable[..., object], batch: int) -> None:
        for i in range(0, count, batch):
            pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in files[i : i + batch]]
            processor(pictures, return_tensors="pt")

    def packed() -> None:
        for data in files:
            patchify(ours.resize(data), 32)

    rows: dict[str, Callable[[], None]] = {
        "transformers, Pillow": lambda: published(theirs, 1),
        "transformers, Pillow, batches of 8": lambda: published(theirs, 8),
        "transformers, Pillow, batches of 32": lambda: published(theirs, 32),
        "ours": packed,
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(runs + 1):  # the first warms up
        for name, run in rows.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    size = sum(map(len, files)) / count / 1000
    print(f"{machine.describe()}\n\n{count} JPEG files of COCO's sizes, {size:.0f} kB each\n")
    print("| preprocessing, one core | images/s | ms an image | times |")
    print("| --- | --- | --- | --- |")
    for name, median in medians.items():
        times = medians["transformers, Pillow"] / median
        print(f"| {name} | {count / median:.0f} | {median / count * 1e3:.2f} | {times:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=130)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    main(given.images, given.runs)
