"""The model alone, ours beside transformers: `python -m benchmarks.model [--pairs 39] [--runs 5]`.

ViLT-B/32 with random weights, decoded pictures in, scores out. Rows take turns, so that a machine that slows down slows
all of them; medians. A share is the row's arithmetic, [CLS]-only last layer and no padding, against the matrix rate of
its precision in the same run: what is computed in vain counts as lost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks import coco, machine
from benchmarks.flops import work
from vilt import Predictor, ViltImageProcessor, ViltTokenizer
from vilt.inference.int8 import can_multiply
from vilt.processing.image_files.decoding import decode

BATCHES = (1, 8, 32)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = {**DTYPES, **({"int8": torch.int8} if can_multiply(torch.device("cpu")) else {})}


def make_checkpoint() -> tuple[str, transformers.ViltForImageAndTextRetrieval]:
    """A folder in the published format, and the model of transformers that wrote it."""
    folder = tempfile.mkdtemp()
    torch.manual_seed(0)
    model = transformers.ViltForImageAndTextRetrieval(transformers.ViltConfig(vocab_size=len(coco.WORDS))).eval()
    model.save_pretrained(folder)
    ViltImageProcessor().save_pretrained(folder)
    ViltTokenizer.from_vocabulary(coco.WORDS).save_pretrained(folder)
    return folder, model


def published_processor(folder: str) -> transformers.ViltProcessor:
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return transformers.ViltProcessor(transformers.ViltImageProcessor(), tokenizer)


def main(count: int, runs: int) -> None:
    folder, theirs = make_checkpoint()
    images: list[Image.Image] = [decode(data) for data in coco.pictures(count)]
    texts = coco.texts(count)
    processor = published_processor(folder)
    models = {"float32": theirs, "bfloat16": transformers.ViltForImageAndTextRetrieval.from_pretrained(folder)}
    models["bfloat16"] = models["bfloat16"].to(torch.bfloat16).eval()

    def run_theirs(precision: str, batch: int) -> Callable[[], np.ndarray]:
        inputs = [
            processor(images[i : i + batch], texts[i : i + batch], padding=True, return_tensors="pt")
            for i in range(0, count, batch)
        ]
        for batched in inputs:
            batched["pixel_values"] = batched["pixel_values"].to(DTYPES[precision])

        @torch.inference_mode()
        def forward() -> np.ndarray:
            return torch.cat([models[precision](**batched).logits[:, 0] for batched in inputs]).float().numpy()

        return forward

    def run_ours(precision: str) -> Callable[[], np.ndarray]:
        predictor = Predictor.from_pretrained(folder, precision=precision)
        return lambda: predictor.logits("score", predictor.pooled(pairs))[:, 0]

    pairs = Predictor.from_pretrained(folder).preprocessor.pairs(images, texts)
    rows = {("transformers", p, b): run_theirs(p, b) for p in DTYPES for b in BATCHES}
    rows |= {("ours", p, 0): run_ours(p) for p in OURS}
    scores = {row: forward() for row, forward in rows.items()}  # warm up
    seconds: dict[tuple[str, str, int], list[float]] = {row: [] for row in rows}
    rates: dict[str, list[float]] = {precision: [] for precision in OURS}
    for _ in range(runs):
        for row, forward in rows.items():
            started = time.perf_counter()
            forward()
            seconds[row].append(time.perf_counter() - started)
        for precision, dtype in OURS.items():
            rates[precision].append(machine.matrix_rate(dtype))
    medians = {row: statistics.median(times) for row, times in seconds.items()}
    best = min(medians["transformers", "float32", b] for b in BATCHES)
    exact = scores["transformers", "float32", 1]
    print(f"{machine.describe()}\n")
    print(f"{count} pairs of {pairs.lengths.mean():.0f} tokens, {work(pairs) / count / 1e9:.1f} GFLOP each; rates: ")
    print(", ".join(f"{name} {statistics.median(rate):.0f} GFLOP/s" for name, rate in rates.items()) + ".\n")
    print("| model | precision | batch | pairs/s | times | share of the matrix rate | largest difference of a logit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (who, precision, batch), median in medians.items():
        share = work(pairs) / median / 1e9 / statistics.median(rates[precision])
        difference = np.abs(scores[who, precision, batch] - exact).max()
        print(
            f"| {who} | {precision} | {batch or 'packed'} | {count / median:.2f} | {best / median:.2f} "
            f"| {share:.0%} | {difference:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=39)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    main(given.pairs, given.runs)
