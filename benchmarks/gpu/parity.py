"""Compare a GPU with float32 on the CPU, and with itself in another order and company."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks import coco
from benchmarks.gpu import data
from benchmarks.gpu.report import Report
from vilt import (
    Predictor,
    ViltConfig,
    ViltForImageAndTextRetrieval,
    ViltForImagesAndTextClassification,
    ViltForMaskedLM,
    ViltForQuestionAnswering,
    ViltForTokenClassification,
    ViltModel,
)
from vilt.inference.pairs import Pairs
from vilt.models.pretrained import PreTrainedModel

SWITCHES: dict[str, dict[str, bool]] = {
    "torch's operations": {"fused": False, "pinned": False, "attention": False},
    "fused": {"attention": False},
    "fused, own attention": {},
    "graphs": {"graphs": True},
}


def parity(report: Report) -> None:
    """Print the largest difference of a logit for every family, precision and set of switches."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    report.say("", "Beside float32 on the CPU. Alone: each of 8 rows by itself, beside the whole batch.")
    report.table(
        "model", "precision", "switches", "largest difference", "of a spread of", "other order", "alone", "equal bits"
    )
    cpu = torch.device("cpu")
    for kind in data.TASKS:
        folder = data.checkpoint(kind, report.tiny)
        pairs = data.inputs(kind, 6 if report.tiny else 48, report.tiny)
        exact = data.open_as(folder, cpu, "float32").of_pairs(data.TASKS[kind], pairs)
        for precision, name in _rows(report):
            report.attempt(
                f"parity {kind} {precision} {name}",
                lambda row=(kind, precision, name), f=folder, p=pairs, e=exact: _row(report, row, f, p, e),
            )


def _rows(report: Report) -> list[tuple[str, str]]:
    if report.device.type == "cpu":
        return [("float32", "torch's operations"), ("bfloat16", "torch's operations")]
    return [
        ("float32", "torch's operations"),
        *(("bfloat16", name) for name in SWITCHES),
        ("float8", "torch's operations"),
    ]


def _row(report: Report, row: tuple[str, str, str], folder: str, pairs: Pairs, exact: np.ndarray) -> None:
    kind, precision, name = row
    engine = data.open_as(folder, report.device, precision, **SWITCHES[name])
    task = data.TASKS[kind]
    logits = engine.of_pairs(task, pairs)
    assert np.isfinite(logits).all(), "logits are not finite"
    order = np.random.default_rng(1).permutation(len(pairs))
    shuffled = engine.of_pairs(task, subset(pairs, order))
    few = min(8, len(pairs))
    alone = np.concatenate([engine.of_pairs(task, subset(pairs, np.array([i]))) for i in range(few)])
    report.row(
        kind,
        precision,
        name,
        f"{np.abs(logits - exact).max():.1e}",
        f"{exact.std():.2f}",
        f"{np.abs(shuffled - logits[order]).max():.1e}",
        f"{np.abs(alone - logits[:few]).max():.1e}",
        f"{(shuffled == logits[order]).mean():.0%}, {(alone == logits[:few]).mean():.0%}",
    )


def subset(pairs: Pairs, order: np.ndarray) -> Pairs:
    """Return these pairs, each with an image of its own, in this order; every image must have one text."""
    from vilt.inference.pairs import spans, starts

    lengths, sizes = pairs.text_lengths[order], pairs.grid_sizes
    rows = spans(starts(sizes)[order], sizes[order])
    return Pairs(
        pairs.token_ids[spans(starts(pairs.text_lengths)[order], lengths)],
        lengths,
        pairs.patches[rows],
        [pairs.grids[i] for i in order],
        np.arange(len(order)),
        image_cls=pairs.image_cls,
    )


def attention_parity(report: Report) -> None:
    """Print how far packed attention is from dense attention in float32, and whether neighbours change its bits."""
    if report.device.type == "cpu":
        return
    from vilt.inference import attention
    from vilt.inference.gpu.options import kernels

    report.table("packed attention, bfloat16", "largest difference from dense float32", "same bits alone")
    lengths = [17, 64, 205, 206, 206, 269]
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=report.device)
    qkv = torch.randn(sum(lengths), 3 * 768, device=report.device).bfloat16()
    q, k, v = (part.unflatten(-1, (12, 64)) for part in qkv.chunk(3, -1))
    ours = kernels()
    ways = {"torch's": attention.packed} | ({"ours": ours.attention} if ours else {})
    for name, run in ways.items():
        whole = run(q, k, v, ends, ends, (max(lengths), max(lengths)))
        worst, same = 0.0, True
        for begin, length in zip(ends.tolist(), lengths, strict=False):
            own = tuple(t[begin : begin + length] for t in (q, k, v))
            dense = torch.nn.functional.scaled_dot_product_attention(*(t.float().transpose(0, 1) for t in own))
            worst = max(worst, float((whole[begin : begin + length] - dense.transpose(0, 1)).abs().max()))
            alone = torch.tensor([0, length], dtype=torch.int32, device=report.device)
            same &= torch.equal(run(*own, alone, alone, (length, length)), whole[begin : begin + length])
        report.row(name, f"{worst:.1e}", same)


def memory(report: Report) -> None:
    """Print how a batch that does not fit is halved, and that its scores stay the same."""
    if report.device.type == "cpu":
        return
    folder, device = data.checkpoint("vilt", report.tiny), report.device
    pairs = data.inputs("vilt", 40 if report.tiny else 600, report.tiny)
    engine = data.open_as(folder, device, "bfloat16")
    wanted = engine.of_pairs("score", pairs)
    engine.passes.tokens = 2**20  # all in one pass
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    engine.of_pairs("score", pairs)
    peak, held = torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(device).total_memory
    share = (held + 0.7 * (peak - held)) / whole
    engine.passes.tokens = 2**20
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        scores = engine.of_pairs("score", pairs)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    report.say(
        "",
        f"Out of memory: {int(pairs.lengths.sum()):,} tokens in one pass take {peak / 2**20:,.0f} MiB; with "
        f"{share * whole / 2**20:,.0f} MiB passes shrank to {engine.passes.tokens:,} tokens; largest difference of a "
        f"score {np.abs(scores - wanted).max():.1e}.",
    )


def shipped(report: Report) -> None:
    """Print how far the shipped, trained model is from float32 on the CPU on random pictures and texts."""
    from vilt.inference.gpu.options import GpuOptions

    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (128, 160, 3), dtype=np.uint8) for _ in range(4 if report.tiny else 64)]
    texts = ["a small red circle", "two large blue squares", "a star left of a triangle"]

    def scores(engine: Predictor) -> np.ndarray:
        return engine.rank(pictures, texts).ravel()

    exact = scores(Predictor.from_pretrained("zoo://scenes", "cpu", "float32"))
    report.table("shipped model, scores", "largest difference", "of a spread of", "rank correlation")
    for precision, name in _rows(report):
        engine = Predictor.from_pretrained("zoo://scenes", report.device, precision, gpu=GpuOptions(**SWITCHES[name]))
        report.attempt(
            f"shipped {precision} {name}",
            lambda e=engine, row=f"{precision}, {name}": _compare(report, row, scores(e), exact),
        )


def tasks(report: Report) -> None:
    """Print how far every task of ViLT is from float32 on the CPU, with random heads on one picture of each size."""
    cpu, texts = torch.device("cpu"), ["a [MASK] red circle", "two large [MASK] [MASK]"]
    kinds = {"num_labels": 7, "num_images": 2, "modality_type_vocab_size": 3}
    config = ViltConfig(**(data.TINY if report.tiny else {}), **kinds, vocab_size=len(coco.WORDS))
    pictures = coco.pictures(len(texts))
    runs: dict[type[PreTrainedModel], tuple[str, Callable[[Predictor], np.ndarray]]] = {
        ViltForImageAndTextRetrieval: ("rank", lambda engine: engine.rank(pictures, texts)),
        ViltForQuestionAnswering: (
            "answer",
            lambda engine: np.array([[score for _, score in row] for row in engine.answer(pictures, texts, 7)]),
        ),
        ViltForImagesAndTextClassification: (
            "reason",
            lambda engine: np.array([[score for _, score in row] for row in engine.reason([pictures] * 2, texts)]),
        ),
        ViltForMaskedLM: (
            "fill",
            lambda engine: np.array([score for row in engine.fill(pictures, texts) for _, score in row.words]),
        ),
        ViltForTokenClassification: (
            "tag",
            lambda engine: np.array([tag.score for row in engine.tag(pictures, texts) for tag in row]),
        ),
        ViltModel: ("embed", lambda engine: engine.embed(pictures, texts)),
    }
    report.table("ViLT, task", "precision", "largest difference", "of a spread of")
    for kind, (task, run) in runs.items():
        folder = data.saved(kind, config)
        exact = run(Predictor.from_pretrained(folder, cpu, "float32"))
        for precision in ("float32", "bfloat16"):
            report.attempt(
                f"task {task} {precision}",
                lambda row=(task, precision), f=folder, r=run, e=exact: _task(report, row, f, r, e),
            )


def _task(
    report: Report, row: tuple[str, str], folder: str, run: Callable[[Predictor], np.ndarray], exact: np.ndarray
) -> None:
    found = run(Predictor.from_pretrained(folder, report.device, row[1]))
    assert found.shape == exact.shape
    assert np.isfinite(found).all()
    report.row(*row, f"{np.abs(found - exact).max():.1e}", f"{exact.std():.1e}")


def _compare(report: Report, name: str, found: np.ndarray, exact: np.ndarray) -> None:
    ranks = [np.argsort(np.argsort(values)) for values in (found, exact)]
    correlation = np.corrcoef(*ranks)[0, 1]
    report.row(name, f"{np.abs(found - exact).max():.3f}", f"{exact.std():.2f}", f"{correlation:.5f}")


def run(report: Report) -> None:
    """Do all of it."""
    for part in (attention_parity, parity, tasks, memory, shipped):
        report.attempt(part.__name__, lambda part=part: part(report))
