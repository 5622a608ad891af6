"""Pairs a second of ViLT-B/32, ours beside transformers, with inputs that are on the GPU already."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.flops import work
from benchmarks.gpu import data, timing
from benchmarks.gpu.report import Report
from vilt.inference.engine import Engine
from vilt.inference.pairs import Pairs

LENGTH_BY_LENGTH = "bfloat16, torch's operations, attention one length at a time"
PLAIN = {"fused": False, "pinned": False, "attention": False}
WAYS: dict[str, tuple[str, dict[str, bool]]] = {
    "float32, TF32 off": ("float32", PLAIN),
    LENGTH_BY_LENGTH: ("bfloat16", PLAIN),
    "bfloat16, torch's operations": ("bfloat16", PLAIN),
    "bfloat16, fused": ("bfloat16", {"attention": False}),
    "bfloat16, fused, own attention": ("bfloat16", {}),
    "float8": ("float8", {}),
}
LATE_WAYS: dict[str, tuple[str, dict[str, bool]]] = {
    "bfloat16, torch.compile": ("bfloat16", {"fused": False, "compiled": True}),
    "bfloat16, fused, own attention, graphs": ("bfloat16", {"graphs": True}),
}
BUDGETS = (2048, 8192, 32768, 65536, 131072, 262144)
BATCHES = (32, 128)  # of transformers


class OnDevice:
    """An engine with the pixels of some pairs on its device: what is timed begins after the copy of the pixels."""

    def __init__(self, engine: Engine, pairs: Pairs, tokens: int) -> None:
        self.engine, self.count = engine, len(pairs)
        engine.passes.tokens = tokens
        self.parts = data.micro_batches(pairs, tokens)
        self.pixels = [torch.from_numpy(np.ascontiguousarray(part.patches)).to(engine.device) for part in self.parts]

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Return all pooled vectors, in packed order."""
        model, engine = self.engine.model, self.engine
        vectors = []
        for part, pixels in zip(self.parts, self.pixels, strict=True):
            images = model.embed_images(part, engine.projection, lambda _, pixels=pixels: pixels)
            vectors += [found for _, found in engine.passes.run(part, images, model.pooled)]
        return engine.heads["score"](torch.cat(vectors))


def run(report: Report) -> None:
    """Measure the ceilings, ours, and transformers."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    size = 256 if report.tiny else 8192
    report.rates |= timing.matrix_rates(report.device, size, 0.01 if report.tiny else 1.0)
    folder = data.checkpoint("vilt", report.tiny)
    pairs = data.inputs("vilt", 6 if report.tiny else 1280, report.tiny)
    hidden = data.TINY["hidden_size"] if report.tiny else 768
    of_pair = work(pairs, hidden, 2 if report.tiny else 12) / len(pairs)
    rates = ", ".join(f"{name} {rate / 1e12:.1f}" for name, rate in report.rates.items())
    report.say("", f"{len(pairs):,} pairs of {pairs.lengths.mean():.0f} tokens, {of_pair / 1e9:.1f} GFLOP each.")
    report.say(
        f"Matrix products of {size} x {size}, TFLOP/s: {rates}. Shares are of the sustained rate, then the best."
    )
    report.table("ViLT-B/32", "tokens or pairs of a batch", "pairs/s", "TFLOP/s", "share of the matrix rate")
    add = partial(_add, report, of_pair)
    budget = 512 if report.tiny else 65536
    for name, way in WAYS.items():
        if report.device.type == "cuda" or name.endswith("torch's operations"):
            # The first of them is how it was where torch's packed kernel is missing.
            without = patch("vilt.inference.attention.has_packed", return_value=False)
            with without if name == LENGTH_BY_LENGTH else nullcontext():
                report.attempt(
                    f"rate {name}",
                    lambda name=name, way=way: add(name, budget, _ours(report, folder, way, pairs, budget)),
                )
    if report.tiny and report.device.type == "cpu":
        return
    for tokens in BUDGETS:
        for name in ("bfloat16, fused, own attention",):
            report.attempt(
                f"rate {name} {tokens}",
                lambda name=name, tokens=tokens: add(name, tokens, _ours(report, folder, WAYS[name], pairs, tokens)),
            )
    _transformers(report, folder, pairs, add)


def late(report: Report) -> None:
    """Measure what takes long to compile or to capture."""
    folder = data.checkpoint("vilt", report.tiny)
    pairs = data.inputs("vilt", 6 if report.tiny else 1280, report.tiny)
    hidden = data.TINY["hidden_size"] if report.tiny else 768
    add = partial(_add, report, work(pairs, hidden, 2 if report.tiny else 12) / len(pairs))
    report.table("ViLT-B/32", "tokens or pairs of a batch", "pairs/s", "TFLOP/s", "share of the matrix rate")
    for name, way in LATE_WAYS.items():
        budgets = (65536,) if "compile" in name else (2048, 8192, 65536)
        for tokens in budgets:
            report.attempt(
                f"rate {name} {tokens}",
                lambda name=name, way=way, tokens=tokens: add(name, tokens, _ours(report, folder, way, pairs, tokens)),
            )
    if report.left > 60:
        model, batches = _published(report, folder, pairs, "eager", 128)
        model.vilt.encoder = torch.compile(model.vilt.encoder)
        report.attempt(
            "rate transformers compiled",
            lambda: add(*_time(report, "transformers, eager, compiled encoder", model, batches, 128)),
        )


def _ours(report: Report, folder: str, way: tuple[str, dict[str, bool]], pairs: Pairs, tokens: int) -> float:
    """Pairs a second."""
    precision, switches = way
    engine = data.open_as(folder, report.device, precision, **switches)
    if precision == "float32":
        pairs = data.inputs("vilt", min(128, len(pairs)), report.tiny)
    forward = OnDevice(engine, pairs, tokens)
    return forward.count / timing.seconds(forward, report.device, 0.0 if report.tiny else 0.8)


def _add(report: Report, of_pair: float, name: str, batch: int, rate: float) -> None:
    flops = rate * of_pair
    shares = (flops / report.rates[key] for key in ("bfloat16, sustained", "bfloat16, best") if key in report.rates)
    report.row(name, f"{batch:,}", f"{rate:,.0f}", f"{flops / 1e12:.1f}", ", ".join(f"{s:.0%}" for s in shares))


def _transformers(report: Report, folder: str, pairs: Pairs, add: Callable[..., None]) -> None:
    """Padded batches of the published API in the order of the rows, inputs on the GPU in bfloat16."""
    for kind, sizes in (("eager", BATCHES), ("sdpa", BATCHES[-1:])):
        for batch in sizes:

            def measure(kind: str = kind, batch: int = batch) -> None:
                try:
                    model, batches = _published(report, folder, pairs, kind, batch)
                except ValueError as error:
                    if "does not support" not in str(error):
                        raise
                    report.row(f"transformers, {kind}", batch, "its ViLT does not support it", "", "")
                    return
                add(*_time(report, f"transformers, {kind}", model, batches, batch))

            report.attempt(f"rate transformers {kind} {batch}", measure)


def _time(
    report: Report, name: str, model: torch.nn.Module, batches: list[dict[str, Tensor]], batch: int
) -> tuple[str, int, float]:
    @torch.inference_mode()
    def forward() -> None:
        for inputs in batches:
            model(**inputs)

    count = sum(len(inputs["input_ids"]) for inputs in batches)
    return name, batch, count / timing.seconds(forward, report.device, 0.8, 2)


def _published(
    report: Report, folder: str, pairs: Pairs, kind: str, batch: int
) -> tuple[torch.nn.Module, list[dict[str, Tensor]]]:
    """The model of transformers, and the first 256 pairs as its padded inputs."""
    import transformers

    model = transformers.ViltForImageAndTextRetrieval.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation=kind
    )
    batches = [padded(pairs, begin, min(batch, 256), report.device) for begin in range(0, min(256, len(pairs)), batch)]
    return model.to(report.device).eval(), batches


def padded(pairs: Pairs, begin: int, count: int, device: torch.device) -> dict[str, Tensor]:
    """Return some pairs as padded batches in bfloat16; pixels are random, as those of the pairs are."""
    grids = [pairs.grids[i] for i in pairs.image_index[begin : begin + count]]
    lengths = pairs.text_lengths[begin : begin + count]
    first = int(pairs.text_lengths[:begin].sum())
    ids = torch.nn.utils.rnn.pad_sequence(
        list(torch.from_numpy(pairs.token_ids[first : first + int(lengths.sum())]).split(lengths.tolist())), True
    )
    height, width = 32 * max(g.rows for g in grids), 32 * max(g.cols for g in grids)
    mask = torch.zeros(len(grids), height, width, dtype=torch.int64)
    for own, grid in zip(mask, grids, strict=True):
        own[: 32 * grid.rows, : 32 * grid.cols] = 1
    pixels = torch.randn(len(grids), 3, height, width, device=device).bfloat16()
    return {
        "input_ids": ids.to(device),
        "attention_mask": (torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]).long().to(device),
        "pixel_values": pixels,
        "pixel_mask": mask.to(device),
    }
