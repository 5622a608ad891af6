"""The model alone, ours beside transformers, on one machine: `python -m benchmarks.model [--pairs 32]`.

ViLT-B/32 with random weights on a COCO-like mix of image sizes and text lengths, decoded images in, scores out.
Every row is the median of several runs, which take turns, so that a machine that slows down slows all rows.
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

from vilt import Predictor, ViltImageProcessor, ViltTokenizer

SIZES = [(640, 480)] * 6 + [(480, 640)] * 3 + [(640, 427), (427, 640), (500, 375), (640, 640)]  # as COCO has them
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(200))]


def matrix_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """GFLOP/s of a square matrix product: what this machine can do at best."""
    a = torch.randn(size, size).to(dtype)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9


def flops(lengths: np.ndarray, patches: int, width: int = 768, layers: int = 12) -> float:
    """Multiply-adds of the encoder and the patch projection, times two."""
    linear = 24 * width**2 * layers * lengths.sum() + 2 * 3072 * width * patches
    return float(linear + 4 * width * layers * (lengths**2).sum())


def main(count: int, runs: int) -> None:
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (*SIZES[i % len(SIZES)][::-1], 3), dtype=np.uint8)) for i in range(count)
    ]
    texts = [" ".join(rng.choice(WORDS[5:], rng.integers(6, 16))) for _ in range(count)]
    folder = tempfile.mkdtemp()
    torch.manual_seed(0)
    config = transformers.ViltConfig(vocab_size=len(WORDS))
    theirs = transformers.ViltForImageAndTextRetrieval(config).eval()
    theirs.save_pretrained(folder)
    ViltImageProcessor().save_pretrained(folder)
    ViltTokenizer.from_vocabulary(WORDS).save_pretrained(folder)
    processor = transformers.ViltProcessor(
        transformers.ViltImageProcessor(), transformers.BertTokenizerFast.from_pretrained(folder)
    )
    ours = {p: Predictor.from_pretrained(folder, precision=p) for p in ("float32", "bfloat16")}
    pairs = ours["float32"].preprocessor.pairs(images, texts)
    work = flops(pairs.lengths, len(pairs.patches))

    def run_theirs(batch: int) -> Callable[[], np.ndarray]:
        inputs = [
            processor(images[i : i + batch], texts[i : i + batch], padding=True, return_tensors="pt")
            for i in range(0, count, batch)
        ]

        @torch.inference_mode()
        def forward() -> np.ndarray:
            return torch.cat([theirs(**batch).logits[:, 0] for batch in inputs]).numpy()

        return forward

    rows: dict[str, Callable[[], np.ndarray]] = {
        "transformers, float32, batches of 1": run_theirs(1),
        "transformers, float32, batches of 8": run_theirs(8),
        "ours, float32": lambda: ours["float32"].logits(pairs, ("rank_output",))["rank_output"][:, 0],
        "ours, bfloat16": lambda: ours["bfloat16"].logits(pairs, ("rank_output",))["rank_output"][:, 0],
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    scores = {name: forward() for name, forward in rows.items()}  # warm up
    for _ in range(runs):
        for name, forward in rows.items():
            started = time.perf_counter()
            forward()
            seconds[name].append(time.perf_counter() - started)
    rates = {"float32": matrix_rate(torch.float32), "bfloat16": matrix_rate(torch.bfloat16)}
    exact = scores["transformers, float32, batches of 1"]
    length, threads = pairs.lengths.mean(), torch.get_num_threads()
    print(f"{count} pairs of {length:.0f} tokens, {threads} threads, torch {torch.__version__}")
    print("matrix rate: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items()))
    print("| model | pairs/s | times | share of matrix rate | largest difference of a score |")
    print("| --- | --- | --- | --- | --- |")
    base = statistics.median(seconds["transformers, float32, batches of 8"])
    for name, times in seconds.items():
        median = statistics.median(times)
        rate = rates["bfloat16" if "bfloat16" in name else "float32"]
        difference = np.abs(scores[name] - exact).max()
        share = work / median / 1e9 / rate
        print(f"| {name} | {count / median:.2f} | {base / median:.2f} | {share:.0%} | {difference:.1e} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    main(given.pairs, given.runs)
