"""JPEG files -> what a model reads, on one core, ours beside transformers: `python -m benchmarks.preprocess`.

Ours ends at uint8 patches, which the model takes as they are; theirs at float32 `pixel_values` and a mask. With
`--size 3000x2000` all pictures have that size in place of COCO's. `decode: fast` is there with the change that it makes
to the scores of the shipped model.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks import coco, machine
from vilt import Predictor, ViltImageProcessor, ViltTokenizer
from vilt.inference.preprocessor import Decode
from vilt.models.vilt.preprocessor import Preprocessor


def resized(data: bytes, size: str | None) -> bytes:
    """The picture at another size, as a JPEG file; None: as it is."""
    if size is None:
        return data
    width, height = map(int, size.split("x"))
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def change_of_scores(files: list[bytes]) -> float:
    """The largest change of the shipped model's scores, in standard deviations of the scores."""
    predictor = Predictor.from_pretrained("zoo://scenes", precision="float32")
    texts = coco.texts(len(files))
    exact = predictor.score(files, texts)
    predictor.preprocessor.decode = "fast"
    return float(np.abs(predictor.score(files, texts) - exact).max() / exact.std())


def main(count: int, runs: int, size: str | None) -> None:
    torch.set_num_threads(1)
    files = [resized(data, size) for data in coco.pictures(count)]
    theirs = transformers.ViltImageProcessor()
    ours = Preprocessor(ViltImageProcessor(), ViltTokenizer.from_pretrained("zoo://scenes"), 32)

    def published(processor: Callable[..., object], batch: int) -> None:
        for i in range(0, count, batch):
            pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in files[i : i + batch]]
            processor(pictures, return_tensors="pt")

    def packed(decode: Decode) -> None:
        ours.decode = decode
        for data in files:
            ours.patches_of_bytes(data)

    rows: dict[str, Callable[[], None]] = {
        "transformers, Pillow": lambda: published(theirs, 1),
        "transformers, Pillow, batches of 8": lambda: published(theirs, 8),
        "transformers, Pillow, batches of 32": lambda: published(theirs, 32),
        "ours": lambda: packed("exact"),
        "ours, `decode: fast`": lambda: packed("fast"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(runs + 1):  # the first warms up
        for name, run in rows.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    kilobytes = sum(map(len, files)) / count / 1000
    sizes = f"of {size}" if size else "of COCO's sizes"
    print(f"{machine.describe()}\n\n{count} JPEG files {sizes}, {kilobytes:.0f} kB each\n")
    print("| preprocessing, one core | images/s | ms an image | times |")
    print("| --- | --- | --- | --- |")
    for name, median in medians.items():
        times = medians["transformers, Pillow"] / median
        print(f"| {name} | {count / median:.0f} | {median / count * 1e3:.2f} | {times:.2f} |")
    print(f"\n`decode: fast` moves scores by at most {change_of_scores(files):.3f} of their standard deviation")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=130)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", help="WIDTHxHEIGHT of all pictures; default: COCO's sizes")
    given = parser.parse_args()
    main(given.images, given.runs, given.size)
