"""ViT and VisualBERT alone, ours beside transformers: `python -m benchmarks.family [--rows 32] [--runs 3]`.

ViT-B/16 at 224 pixels and VisualBERT of BERT's size with 36 regions of 2,048 features, random weights, inputs that are
preprocessed already, logits out. Rows take turns, so that a machine that slows down slows all of them; medians. Of 1,
8 and 32 rows in one batch of transformers the fastest in float32 is 1.00.
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

import vilt
from benchmarks import coco, machine
from vilt import VisualBertPredictor, ViTPredictor
from vilt.inference.precision import resolve_precision

BATCHES = (1, 8, 32)
REGIONS, WIDTH = 36, 2048
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Forward = Callable[[], np.ndarray]


def of_transformers(folder: str, kind: type, inputs: dict[str, torch.Tensor], precision: str, batch: int) -> Forward:
    """Padded batches of the published API."""
    model = kind.from_pretrained(folder, dtype=DTYPES[precision]).eval()
    cast = {name: v.to(DTYPES[precision]) if v.is_floating_point() else v for name, v in inputs.items()}
    count = len(next(iter(cast.values())))
    parts = [{name: v[i : i + batch] for name, v in cast.items()} for i in range(0, count, batch)]

    @torch.inference_mode()
    def forward() -> np.ndarray:
        return torch.cat([model(**part).logits for part in parts]).float().numpy()

    return forward


def vit(count: int, precisions: list[str]) -> dict[tuple[str, str, int], Forward]:
    folder, kind = tempfile.mkdtemp(), transformers.ViTForImageClassification
    kind(transformers.ViTConfig(num_labels=1000)).save_pretrained(folder)
    vilt.ViTImageProcessor().save_pretrained(folder)
    files = coco.pictures(count)
    processor = vilt.ViTImageProcessor.from_pretrained(folder)
    inputs = dict(processor(files, return_tensors="pt"))
    rows = {
        ("transformers", p, batch): of_transformers(folder, kind, inputs, p, batch)
        for p in precisions
        for batch in BATCHES
    }
    for precision in precisions:
        predictor = ViTPredictor.from_pretrained(folder, precision=precision)
        pairs = predictor.preprocessor.image_pairs(files)
        rows["ours", precision, 0] = lambda predictor=predictor, pairs=pairs: predictor.of_pairs("classify", pairs)
    return rows


def visual_bert(count: int, precisions: list[str]) -> dict[tuple[str, str, int], Forward]:
    """Return the passes over 10 to 36 regions a row, as detectors with a threshold find them."""
    folder, kind = tempfile.mkdtemp(), transformers.VisualBertForQuestionAnswering
    words = {"vocab_size": len(coco.WORDS), "pad_token_id": 0}
    kind(transformers.VisualBertConfig(visual_embedding_dim=WIDTH, num_labels=3129, **words)).save_pretrained(folder)
    vilt.ViltTokenizer.from_vocabulary(coco.WORDS).save_pretrained(folder)
    rng = np.random.default_rng(0)
    regions = [rng.normal(size=(rng.integers(10, REGIONS + 1), WIDTH)).astype(np.float32) for _ in range(count)]
    texts = coco.texts(count)
    tokenized = transformers.BertTokenizerFast.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    padded = np.stack([np.pad(own, ((0, REGIONS - len(own)), (0, 0))) for own in regions])
    lengths = torch.tensor([len(own) for own in regions])[:, None]
    mask = (torch.arange(REGIONS) < lengths).long()
    inputs = {**tokenized, "visual_embeds": torch.from_numpy(padded), "visual_attention_mask": mask}
    rows = {
        ("transformers", p, batch): of_transformers(folder, kind, inputs, p, batch)
        for p in precisions
        for batch in BATCHES
    }
    for precision in precisions:
        predictor = VisualBertPredictor.from_pretrained(folder, precision=precision)
        pairs = predictor.preprocessor.pairs(regions, texts)
        rows["ours", precision, 0] = lambda predictor=predictor, pairs=pairs: predictor.of_pairs("answer", pairs)
    return rows


def measure(name: str, rows: dict[tuple[str, str, int], Forward], count: int, runs: int) -> None:
    logits = {row: forward() for row, forward in rows.items()}  # warm up
    seconds: dict[tuple[str, str, int], list[float]] = {row: [] for row in rows}
    for _ in range(runs):
        for row, forward in rows.items():
            started = time.perf_counter()
            forward()
            seconds[row].append(time.perf_counter() - started)
    medians = {row: statistics.median(times) for row, times in seconds.items()}
    best = min(medians["transformers", "float32", batch] for batch in BATCHES)
    exact = logits["transformers", "float32", 1]
    for (who, precision, batch), median in medians.items():
        difference = np.abs(logits[who, precision, batch] - exact).max()
        print(
            f"| {name} | {who} | {precision} | {batch or 'packed'} | {count / median:.2f} | {best / median:.2f} "
            f"| {difference:.1e} |",
            flush=True,
        )


def main(count: int, runs: int) -> None:
    precisions = list(dict.fromkeys(["float32", resolve_precision("auto", torch.device("cpu"))]))
    print(f"{machine.describe()}\n")
    print("| model | code | precision | batch | rows/s | times | largest difference of a logit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, made in (("ViT-B/16", vit), ("VisualBERT", visual_bert)):
        torch.manual_seed(0)
        measure(name, made(count, precisions), count, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    main(given.rows, given.runs)
